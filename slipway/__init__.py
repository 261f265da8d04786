"""Slipway: the release line for small language models.

The core of the project. It knows no Prefect: ``values`` and ``errors`` are what travels,
``choose``, ``variants``, ``verdict`` and ``keys`` decide, every other module is the adapter of one
library.

Importing it switches the libraries' telemetry off, which they read when they are imported.
"""

import os

for _switch in (
    "DO_NOT_TRACK",
    "HF_HUB_DISABLE_TELEMETRY",
    "MLFLOW_DISABLE_TELEMETRY",
    "ORT_DISABLE_TELEMETRY",
):
    os.environ.setdefault(_switch, "1" if _switch != "MLFLOW_DISABLE_TELEMETRY" else "true")
