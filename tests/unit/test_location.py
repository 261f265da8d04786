"""MLflow's database, opened without the server that wrote to it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository
from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

from slipway.errors import VersionRefused
from slipway.settings import Settings
from slipway.tracking.location import MlflowLocation, connect, may_pass, mlflow_location
from tests.support.status_server import status_server


@pytest.fixture
def location(tmp_path: Path) -> MlflowLocation:
    """Return the MLflow of a home."""
    return MlflowLocation(
        uri=f"sqlite:///{tmp_path}/mlflow.db", artifacts=tmp_path.resolve() / "artifacts"
    )


def ask_for_an_experiment(url: str) -> Any:
    """Ask as MLflow's tracking client does."""
    return MlflowClient(url).get_experiment("1")


def ask_for_files(url: str) -> Any:
    """Ask as MLflow's client of a server's files does."""
    return HttpArtifactRepository(f"{url}/api/2.0/mlflow-artifacts/artifacts").list_artifacts()


def failure(asks: Callable[[str], Any], url: str) -> BaseException:
    """Return the error that a request ends with."""
    with pytest.raises(Exception) as failed:  # noqa: PT011 - each client has its own
        asks(url)
    return failed.value


def test_what_a_server_wrote_is_read_without_it(location: MlflowLocation) -> None:
    """As after ``slipway ui`` has ended: its addresses have no host, and its files are here."""
    import mlflow

    connect(location)
    client = mlflow.MlflowClient()
    experiment = client.create_experiment("served", artifact_location="mlflow-artifacts:/served")
    run_id = client.create_run(experiment).info.run_id
    assert location.artifacts
    report = location.artifacts / "served" / run_id / "artifacts" / "report.md"
    report.parent.mkdir(parents=True)
    report.write_text("promoted", encoding="utf-8")

    assert Path(client.download_artifacts(run_id, "report.md")).read_text("utf-8") == "promoted"


@pytest.mark.parametrize("path", ["../secrets", "served/../../secrets", "%2e%2e/secrets"])
def test_an_address_that_leads_out_of_the_folder_is_refused(
    location: MlflowLocation, path: str
) -> None:
    """Whoever may edit a run in MLflow does not choose which files of this machine are read."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    connect(location)

    with pytest.raises(VersionRefused, match="below MLflow's folder"):
        get_artifact_repository(f"mlflow-artifacts:/{path}")


def test_a_server_is_asked_where_there_is_one(location: MlflowLocation) -> None:
    """Also by a process that opened a database before."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    connect(location)
    with status_server({}, other=200) as url:
        connect(MlflowLocation(uri=url, artifacts=None))
        found = get_artifact_repository("mlflow-artifacts:/served")
    connect(location)

    assert isinstance(found, MlflowArtifactsRepository)


@pytest.mark.parametrize(
    ("artifacts", "expected"),
    [
        ("", "home/mlflow/artifacts"),
        ("elsewhere", "elsewhere"),
        ("s3://bucket/x", "home/mlflow/artifacts"),
    ],
)
def test_a_folder_that_the_settings_name_is_read_without_the_server_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, artifacts: str, expected: str
) -> None:
    """The server and whoever reads without it take the folder from one place."""
    monkeypatch.chdir(tmp_path)
    settings = Settings(home=Path("home"), artifacts=artifacts)

    assert mlflow_location(settings).artifacts == tmp_path / expected


@pytest.mark.parametrize("status", [None, 503, 500, 429, 404, 403])
@pytest.mark.parametrize("asks", [ask_for_an_experiment, ask_for_files])
def test_only_a_server_that_fails_or_is_away_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, asks: Callable[[str], Any], status: int | None
) -> None:
    """Its clients of MLflow raise different errors for the same answer."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with status_server({}, other=status or 200) as url:
        if status:
            failed = failure(asks, url)
    if status is None:  # nothing listens there any more
        failed = failure(asks, url)

    assert may_pass(failed) is (status not in {404, 403})


def test_a_defect_of_ours_is_not_tried_again() -> None:
    """Nor what MLflow refuses before it asks anything."""
    assert not may_pass(ValueError("a defect"))
    assert not may_pass(MlflowException("it is wrong"))
    assert may_pass(MlflowException("locked", error_code=TEMPORARILY_UNAVAILABLE))
