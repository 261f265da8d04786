"""The main job, as a newcomer runs it: the embedded model, by the command line, from nothing."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slipway.report import next_steps
from tests.support.processor import children_seconds
from tests.support.project import PROJECT

pytestmark = [pytest.mark.embedded, pytest.mark.timeout(1200), pytest.mark.alone]

MINUTES = 60
LARGEST_BYTES = 160_000_000
#: What a command cannot do without that looks at Prefect and MLflow, and serves the flow's states.
FLOOR = "import mlflow, prefect, prefect.server.api.server"
MOST_FLOORS = 3  # of a release that finds everything done


def slipway(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line with its state in ``home``."""
    # MLflow leaves its address in the environment, and the tiny models' tests one thread.
    ours = ("MLFLOW_", "OMP_", "PREFECT_", "SLIPWAY_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.run(
        [sys.executable, "-c", "from commands.main import main; main()", *arguments],
        env=clean | {"SLIPWAY_HOME": str(home)},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_embedded_model_is_released_and_found_again(tmp_path: Path) -> None:
    """The first run promotes two versions in time; the second takes little more than imports."""
    home = tmp_path / "home"
    started = time.monotonic()

    first = slipway("release", "smollm2-135m", "--json", home=home)

    assert first.returncode == 0, first.stderr
    assert time.monotonic() - started < 8 * MINUTES  # the bar is 4 on an idle machine
    versions = json.loads(first.stdout)["versions"]
    assert versions["onnx"]["size_bytes"] < LARGEST_BYTES  # its token embeddings are tied
    status = slipway("status", "smollm2-135m", "--json", home=home)
    (state,) = json.loads(status.stdout)
    assert (state["champion"], state["reference"]) == (1, 1)
    assert state["commit"].startswith("sha256:")  # of a package: the digest of its files

    started = children_seconds()
    second = slipway("release", "smollm2-135m", "--json", home=home)
    spent = children_seconds() - started
    assert json.loads(second.stdout)["existed"] is True
    started = children_seconds()
    subprocess.run([sys.executable, "-c", FLOOR], check=True)
    assert spent < MOST_FLOORS * (children_seconds() - started)
    assert slipway("status", "smollm2-135m", "--json", home=home).stdout == status.stdout

    answer = slipway("predict", "smollm2-135m", next_steps.QUESTION, home=home)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == "The capital of Japan is Tokyo.\n"
