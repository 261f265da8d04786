"""Log the wrapper under names of its own choosing, in a process that ends with the logging.

Takes one JSON argument, ``{"wrapper": path, "artifacts": path, "folders": {name: [folder,
contract]}}``, and writes ``{name: model URI}``.
"""

import json
import sys
from importlib.metadata import version

import mlflow

from slipway.tracking.signatures import signature
from slipway.values import Contract

PACKAGES = ("jinja2", "mlflow", "onnxruntime-genai", "pandas")
REQUIREMENTS = [f"{name}=={version(name)}" for name in PACKAGES]


def log(name: str, folder: str, contract: Contract, wrapper: str) -> str:
    """Log ``folder`` behind ``contract`` and return the model's URI."""
    info = mlflow.pyfunc.log_model(
        name=name,
        python_model=wrapper,
        artifacts={"model": folder},
        model_config={"contract": contract, "model_name": f"tiny-{contract}", "max_tokens": 64},
        signature=signature(contract),
        pip_requirements=REQUIREMENTS,
    )
    return str(info.model_uri)


if __name__ == "__main__":
    request = json.loads(sys.argv[1])
    mlflow.create_experiment("wrappers", artifact_location=request["artifacts"])
    mlflow.set_experiment("wrappers")
    uris = {
        name: log(name, folder, contract, request["wrapper"])
        for name, (folder, contract) in request["folders"].items()
    }
    sys.stdout.write(json.dumps(uris))
