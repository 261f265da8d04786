"""Loads a wrapper from a folder, in a process that holds no credentials."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def load(folder: Path, settings: Mapping[str, Any] | None = None) -> Any:
    """Return MLflow's Python model of a verified copy.

    Args:
        folder: The copy. No bytecode is written into it, so that only its source is executed.
        settings: Replace those of the logged model configuration.
    """
    sys.dont_write_bytecode = True
    import mlflow

    return mlflow.pyfunc.load_model(
        str(folder),
        suppress_warnings=True,  # the requirements that it would compare are not in the copy
        model_config=dict(settings) if settings else None,
    )
