"""Both servers on PostgreSQL; their machine is lost, and a backup brings everything back."""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from mlflow import MlflowClient

from tests.support import postgresql
from tests.support.full_stack import AUTH, Running, environment, prefect_server, serving
from tests.support.postgresql import Cluster, cluster
from tests.support.project import PROJECT

USER, PASSWORD = AUTH.split(":")
LOST = ("prefect", "mlflow")

pytestmark = [
    pytest.mark.machines,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(postgresql.missing() is not None, reason=str(postgresql.missing())),
]


@pytest.fixture
def database() -> Iterator[Cluster]:
    """Run a cluster of its own on loopback."""
    with cluster("test") as made:
        yield made


def machine(folder: Path, database: Cluster) -> dict[str, str]:
    """Return the settings of a machine whose servers use the databases."""
    return environment(folder, AUTH) | database.settings


@contextmanager
def servers(folder: Path, variables: Mapping[str, str]) -> Iterator[Running]:
    """Run both servers."""
    url, process = variables["SLIPWAY_MLFLOW_URL"], Any
    command, log = ["-m", "deployments.services", "mlflow"], folder / "mlflow.log"
    with (
        prefect_server(folder, variables),
        serving("MLflow", command, variables, log, f"{url}/health"),
    ):
        yield Running(folder / "home", variables, log, process)


def backup(variables: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Save or restore."""
    return subprocess.run(
        [sys.executable, "-m", "deployments.backup", *words],
        env=dict(variables),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_lost_machine_comes_back(
    database: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Versions, aliases, files, people and variables are as before; nothing is restored twice."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    database.create()
    first, second = (tmp_path / name for name in ("first", "second"))
    first.mkdir()
    second.mkdir()
    variables = machine(first, database)
    with servers(first, variables) as running:
        _fill(running)
        saved = backup(variables, "save", str(tmp_path / "backup"))
    assert saved.returncode == 0, saved.stderr
    shutil.rmtree(first)
    for each in LOST:
        database.run("dropdb", each)
        database.run("dropuser", each)

    database.create()
    variables = machine(second, database)
    restored = backup(variables, "restore", str(tmp_path / "backup"))
    assert restored.returncode == 0, restored.stderr
    with servers(second, variables) as running:
        _check(running, tmp_path)

    again = backup(variables, "restore", str(tmp_path / "backup"))
    assert again.returncode == 2
    assert "is there already" in again.stderr
    third = variables | {"SLIPWAY_HOME": str(tmp_path / "third")}
    again = backup(third, "restore", str(tmp_path / "backup"))
    assert again.returncode == 1
    assert "pg_restore" in again.stderr
    _upgrade(variables)
    with servers(second, variables) as running:
        _check(running, tmp_path)


def _fill(running: Running) -> None:
    """Make a version with a file and an alias, a person, and a variable of Prefect."""
    client = MlflowClient(running.url("mlflow"))
    run = client.create_run("0")
    client.log_text(run.info.run_id, "weights", "model/weights.txt")
    client.create_registered_model("tiny")
    client.create_model_version("tiny", f"runs:/{run.info.run_id}/model", run.info.run_id)
    client.set_registered_model_alias("tiny", "champion", 1)
    users = f"{running.url('mlflow')}/api/2.0/mlflow/users/create"
    person = {"username": "ann", "password": "a-password-of-anns"}
    httpx.post(users, json=person, auth=(USER, PASSWORD)).raise_for_status()
    running.prefect("/variables/", {"name": "of_a_test", "value": "kept"})


def _upgrade(variables: Mapping[str, str]) -> None:
    """Run what an upgrade runs; on databases of the same version it changes nothing."""
    for words in (
        ("-m", "mlflow", "db", "upgrade", variables["MLFLOW_TRACKING_URI"]),
        ("-m", "prefect", "server", "database", "upgrade", "-y"),
    ):
        subprocess.run([sys.executable, *words], env=dict(variables), cwd=PROJECT, check=True)


def _check(running: Running, folder: Path) -> None:
    client = MlflowClient(running.url("mlflow"))
    version = client.get_model_version_by_alias("tiny", "champion")
    assert version.version == "1"
    file = client.download_artifacts(version.run_id, "model/weights.txt", str(folder))
    assert Path(file).read_text(encoding="utf-8") == "weights"
    asked = f"{running.url('mlflow')}/api/2.0/mlflow/users/get?username=ann"
    answer = httpx.get(asked, auth=("ann", "a-password-of-anns"))
    assert answer.status_code == 200, answer.text
    (variable,) = running.prefect("/variables/filter", {})
    assert variable["value"] == "kept"
