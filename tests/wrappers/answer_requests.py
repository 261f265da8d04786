"""Load logged models in a process that never saw their source, and answer requests on stdin.

A line is ``{"uri": ..., "rows": [...]}``, or with ``input`` instead of rows what ``predict`` gets
as it is. A line of the answer holds ``answer`` or ``error``.
"""

import json
import sys
from functools import cache
from typing import Any

import mlflow
import pandas as pd

load = cache(mlflow.pyfunc.load_model)


def reply(request: dict[str, Any]) -> dict[str, Any]:
    """Answer one request, or say why not."""
    given = pd.DataFrame(request["rows"]) if "rows" in request else request["input"]
    try:
        return {"answer": load(request["uri"]).predict(given)}
    except Exception as error:  # noqa: BLE001  # whatever it is, the test wants to see it
        return {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(json.dumps(reply(json.loads(line))) + "\n")
        sys.stdout.flush()
