"""MLflow Projects: `mlflow run` starts the same line as the command line does."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.project import PROJECT, Project, lay_out

pytestmark = pytest.mark.slow


def mlflow_run(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run an entry point of this checkout's MLproject against the registry of a home."""
    foreign = ("PREFECT_", "MLFLOW_", "SLIPWAY_")
    variables = {key: text for key, text in os.environ.items() if not key.startswith(foreign)}
    variables |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{variables['PATH']}",
        "MLFLOW_TRACKING_URI": f"sqlite:///{project.home / 'mlflow' / 'mlflow.db'}",
        "SLIPWAY_HOME": str(project.home),
        "SLIPWAY_CATALOGUE": str(project.catalogue),
        "SLIPWAY_EXPECTATIONS": str(project.folder / "expectations"),
        "SLIPWAY_SPEED_ROUNDS": "1",
    }
    return subprocess.run(
        [sys.executable, "-m", "mlflow", "run", str(PROJECT), *arguments],
        env=variables | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        cwd=project.folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_release_is_an_entry_point_and_its_run_stays_empty(
    tmp_path: Path, checkpoint: Path
) -> None:
    """The run that MLflow makes of the project gets no figures: those are in the release's own."""
    project = lay_out(tmp_path, checkpoint)
    local = ("-P", "model=tiny", "--env-manager", "local")

    planned = mlflow_run(project, "-e", "plan", *local)
    released = mlflow_run(project, "-e", "release", *local)

    assert planned.returncode == 0, planned.stderr
    assert "tiny" in planned.stdout
    assert released.returncode == 0, released.stderr
    from mlflow import MlflowClient

    database = f"sqlite:///{project.home / 'mlflow' / 'mlflow.db'}"
    client = MlflowClient(database, database)
    assert client.get_model_version_by_alias("tiny", "champion").version == 1
    (run_id,) = re.findall(r"Run \(ID '(\w+)'\) succeeded", released.stderr)
    run = client.get_run(run_id)
    assert (run.info.status, run.data.metrics) == ("FINISHED", {})


def test_every_entry_point_is_a_command_that_exists() -> None:
    """With the parameters that it takes, so that none of them is misspelt."""
    from commands.main import app

    entries = yaml.safe_load((PROJECT / "MLproject").read_text(encoding="utf-8"))["entry_points"]
    assert entries.keys() == {"main", "release", "plan", "evaluate", "serve"}
    for entry in entries.values():
        values = dict.fromkeys(entry["parameters"], "8080")
        program, *words = entry["command"].format(**values).split()
        assert program == "slipway"
        app.parse_args(words, exit_on_error=False, print_error=False)
