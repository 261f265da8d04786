"""Both servers on PostgreSQL; their machine is lost, and a backup brings everything back."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest
from mlflow import MlflowClient

from tests.support.full_stack import AUTH, Running, environment, prefect_server, serving
from tests.support.network import free_port
from tests.support.project import PROJECT

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
PSQL = str(PROGRAMS / "psql")
USER, PASSWORD = AUTH.split(":")
LOST = ("prefect", "mlflow")

pytestmark = [
    pytest.mark.machines,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not PROGRAMS.is_dir(), reason="needs Debian's package postgresql"),
    pytest.mark.skipif(not find_spec("psycopg2"), reason="needs slipway[containers]"),
    pytest.mark.skipif(os.getuid() != 0, reason="becomes the user postgres, which takes root"),
]


def as_postgres(*words: object) -> subprocess.CompletedProcess[str]:
    """Run a program as PostgreSQL's own user."""
    command = ["runuser", "-u", "postgres", "--", *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd="/")


@pytest.fixture
def administrator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Run a cluster of its own on loopback; give the variables of its administrator."""
    folder, port = Path(f"/tmp/slipway-postgresql-{os.getpid()}"), str(free_port())  # noqa: S108
    folder.mkdir()
    shutil.chown(folder, "postgres", "postgres")
    data, log = folder / "data", folder / "log"
    (folder / "password").write_text("an-administrators-password", encoding="utf-8")
    shutil.chown(folder / "password", "postgres", "postgres")
    how = ("--auth=scram-sha-256", f"--pwfile={folder / 'password'}", "--no-sync")
    as_postgres(PROGRAMS / "initdb", "-D", data, *how)
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    try:
        as_postgres(PROGRAMS / "pg_ctl", "-D", data, "-l", log, "-o", options, "-w", "start")
        yield os.environ | {
            "PGHOST": "127.0.0.1",
            "PGPORT": port,
            "PGUSER": "postgres",
            "PGPASSWORD": "an-administrators-password",
            "PREFECT_PASSWORD": "a-password-of-prefect's",
            "MLFLOW_PASSWORD": "a-password-of-mlflow's",
        }
    finally:
        as_postgres(PROGRAMS / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder)


def create(administrator: Mapping[str, str]) -> None:
    """Make users and databases, as the documents say."""
    script = str(PROJECT / "deployments" / "postgres.sql")
    subprocess.run([PSQL, "-q", "-f", script], env=administrator, check=True)


def machine(folder: Path, administrator: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of a machine whose servers use the databases."""
    at = f"127.0.0.1:{administrator['PGPORT']}"
    return environment(folder, AUTH) | {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": (
            f"postgresql+asyncpg://prefect:a-password-of-prefect%27s@{at}/prefect"
        ),
        "MLFLOW_TRACKING_URI": f"postgresql://mlflow:a-password-of-mlflow%27s@{at}/mlflow",
    }


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
    administrator: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Versions, aliases, files, people and variables are as before; nothing is restored twice."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    create(administrator)
    first, second = (tmp_path / name for name in ("first", "second"))
    first.mkdir()
    second.mkdir()
    variables = machine(first, administrator)
    with servers(first, variables) as running:
        _fill(running)
        saved = backup(variables, "save", str(tmp_path / "backup"))
    assert saved.returncode == 0, saved.stderr
    shutil.rmtree(first)
    for each in LOST:
        subprocess.run([str(PROGRAMS / "dropdb"), each], env=administrator, check=True)
        subprocess.run([str(PROGRAMS / "dropuser"), each], env=administrator, check=True)

    create(administrator)
    variables = machine(second, administrator)
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
