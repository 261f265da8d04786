"""MLflow's database, opened without the server that wrote to it."""

from pathlib import Path

import pytest

from slipway.errors import VersionRefused
from slipway.settings import Settings
from slipway.tracking.location import MlflowLocation, connect, mlflow_location
from tests.support.status_server import status_server


@pytest.fixture
def location(tmp_path: Path) -> MlflowLocation:
    """Return the MLflow of a home."""
    return MlflowLocation(
        uri=f"sqlite:///{tmp_path}/mlflow.db", artifacts=tmp_path.resolve() / "artifacts"
    )


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
    from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

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
