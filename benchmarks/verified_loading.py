"""Measures what verified private copies cost: time until a version may be loaded, and to predict.

Made-up versions of two sizes are copied from a folder of MLflow's, then found again, then compared
as a rollback does; hashing the same bytes where they are is the bar. ``slipway predict`` asks the
tiny model of the recorded registry, and is compared with MLflow's loader in a single process.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slipway.keys import manifest_digest
from slipway.libraries import disable_telemetry
from slipway.settings import PROJECT
from slipway.system.store import manifest, sha256
from slipway.tracking.location import MlflowLocation, connect
from slipway.tracking.tags import CODE, DIGEST, MLMODEL
from slipway.tracking.verified_copy import CopyPlace, CopyRequest, fetch, verify
from tests.support import recorded_registry

SIZES_MB = {"160 MB": 160, "2 GB": 2000}
DESCRIPTION = """\
flavors:
  python_function:
    artifacts: {model: {path: artifacts/model, uri: model}}
    loader_module: mlflow.pyfunc.loaders.code_model
    model_code_path: onnx_genai.py
"""
QUESTION = "What is the capital of Japan?"
WRAPPER = PROJECT / "wrappers" / "onnx_genai.py"
LOAD = """
import sys, mlflow
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/tiny@champion")
print(model.predict({"prompt": sys.argv[2]})[0])
"""


def main() -> None:
    """Measure, and print two small tables."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print("version   hashed in place  first copy   again  rollback")
        for number, (size, megabytes) in enumerate(SIZES_MB.items(), 1):
            seconds = measure(folder, number, megabytes)
            place, first, again, rollback = (f"{each:.2f} s" for each in seconds)
            print(f"{size:8} {place:>16} {first:>11} {again:>7} {rollback:>9}", flush=True)
        print(f"\n{'predict, tiny model':32} {'seconds':>8}")
        for way, taken in predicting(folder / "recorded").items():
            print(f"{way:32} {taken:8.2f}", flush=True)


def measure(folder: Path, number: int, megabytes: int) -> tuple[float, float, float, float]:
    """Return the seconds to hash a version in place, to copy it, to find the copy, to compare."""
    location = MlflowLocation(uri=f"sqlite:///{folder}/mlflow.db", artifacts=folder / "artifacts")
    place = CopyPlace(
        location=location, root=folder / "copies", store=folder / "store", wrappers=WRAPPER.parent
    )
    files = made_up(folder / f"version-{number}", megabytes)
    register(location, files)
    request = CopyRequest(place=place, name="made-up", version=number)
    taken = (
        timed(lambda: manifest(files)),
        timed(lambda: fetch(request)),
        timed(lambda: fetch(request)),
        timed(lambda: verify(request)),
    )
    shutil.rmtree(files)
    shutil.rmtree(place.root)
    return taken


def made_up(folder: Path, megabytes: int) -> Path:
    """Return a folder that looks like a logged model of this size."""
    weights = folder / "artifacts" / "model" / "model.onnx.data"
    weights.parent.mkdir(parents=True)
    with weights.open("wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(1_000_000))
    (folder / "MLmodel").write_text(DESCRIPTION, encoding="utf-8")
    shutil.copy(WRAPPER, folder)
    return folder


def register(location: MlflowLocation, files: Path) -> None:
    """Register the folder as the next version of the model ``made-up``."""
    connect(location)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient()
    try:
        client.create_registered_model("made-up")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    tags = {
        DIGEST: manifest_digest(manifest(files / "artifacts" / "model")),
        CODE: sha256(WRAPPER),
        MLMODEL: sha256(files / "MLmodel"),
    }
    client.create_model_version("made-up", str(files), tags=tags)


def predicting(folder: Path) -> dict[str, float]:
    """Return the seconds of one question, each in a new process."""
    home = recorded_registry.unpack(folder)
    # MLflow's client has left its address in this process's environment
    ours_alone = {name: text for name, text in os.environ.items() if "MLFLOW" not in name}
    environment = ours_alone | {
        "SLIPWAY_HOME": str(home),
        "SLIPWAY_CATALOGUE": str(folder / "catalogue.toml"),
        "SLIPWAY_EXPECTATIONS": str(folder / "expectations"),
    }

    def run(*arguments: str) -> float:
        command = [sys.executable, *arguments]
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return timed(lambda: subprocess.run(command, env=environment, check=True, **quiet))

    ours = ("-m", "slipway", "predict", "tiny", QUESTION)
    return {
        "MLflow's loader, one process": run(
            "-c", LOAD, f"sqlite:///{home}/mlflow/mlflow.db", QUESTION
        ),
        "slipway predict, first copy": run(*ours),
        "slipway predict, again": run(*ours),
    }


def timed(step: Callable[[], Any]) -> float:
    """Return the seconds that a step takes."""
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


if __name__ == "__main__":
    disable_telemetry()
    main()
