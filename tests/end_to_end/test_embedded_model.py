"""The main job, as a newcomer runs it: the embedded model, by the command line, from nothing."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.project import PROJECT

pytestmark = [pytest.mark.embedded, pytest.mark.timeout(1200)]

MINUTES = 60


def slipway(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line with its state in ``home``."""
    ours = ("MLFLOW_", "PREFECT_", "SLIPWAY_")  # MLflow leaves its address in the environment
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
    """The first run promotes two versions in time; the second takes seconds and changes nothing."""
    home = tmp_path / "home"
    started = time.monotonic()

    first = slipway("release", "smollm2-135m", "--json", home=home)

    assert first.returncode == 0, first.stderr
    assert time.monotonic() - started < 8 * MINUTES  # the bar is 4 on an idle machine
    status = slipway("status", "smollm2-135m", "--json", home=home)
    (state,) = json.loads(status.stdout)
    assert (state["champion"], state["reference"], len(state["commit"])) == (1, 1, 40)

    started = time.monotonic()
    second = slipway("release", "smollm2-135m", "--json", home=home)
    assert json.loads(second.stdout)["existed"] is True
    assert time.monotonic() - started < 20
    assert slipway("status", "smollm2-135m", "--json", home=home).stdout == status.stdout

    answer = slipway("predict", "smollm2-135m", "Name three colours.", home=home)
    assert answer.returncode == 0, answer.stderr
    assert len(answer.stdout.split()) > 3
