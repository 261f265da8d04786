"""Files of an MLflow server are downloaded once and verified at every load."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from slipway.errors import ArtifactChanged
from slipway.settings import PROJECT
from slipway.tracking.location import MlflowLocation
from slipway.tracking.verified_copy import CopyPlace, CopyRequest, fetch
from tests.support.full_stack import mlflow_server
from tests.support.model_servers import MODEL, Registered

pytestmark = pytest.mark.slow  # starts model servers again and again

WEIGHTS = "artifacts/model/model.onnx.data"


@dataclass(frozen=True)
class Remote:
    """The tiny model behind an MLflow server, whose artifacts only the server can read.

    Attributes:
        location: The server.
        files: Folder where it stores the model's files.
        log: The server's log.
        root: Folder for copies.
    """

    location: MlflowLocation
    files: Path
    log: Path
    root: Path

    @property
    def place(self) -> CopyPlace:
        """Where versions come from, and where their copies are kept."""
        return CopyPlace(
            location=self.location,
            root=self.root,
            store=self.root.parent / "store",
            wrappers=PROJECT / "wrappers",
        )

    def download(self) -> Path:
        """Return the folder that an engine would load."""
        return fetch(CopyRequest(place=self.place, name=MODEL, version=1)).folder

    def downloads(self) -> int:
        """Return how often the weights were requested."""
        return self.log.read_text(encoding="utf-8").count(f"/{WEIGHTS} ")

    def copies(self) -> list[Path]:
        """Return the folders of all copies."""
        return list((self.root / MODEL).glob("*-*/"))


@pytest.fixture(scope="module")
def remote(registered: Registered, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    """Run an MLflow server that has version 2 of the tiny model as its version 1."""
    folder = tmp_path_factory.mktemp("remote")
    with mlflow_server(folder) as url:
        location = MlflowLocation(uri=url, artifacts=None)
        files = folder / "artifacts" / _register(location, registered.tags(2))
        shutil.copytree(registered.logged, files)
        yield Remote(location, files, folder / "log", folder / "copies")


def _register(location: MlflowLocation, tags: dict[str, str]) -> str:
    """Register a version, and return where the server looks for its files."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=location.uri, registry_uri=location.uri)
    logged = client.create_logged_model("0", MODEL)
    client.finalize_logged_model(logged.model_id, "READY")
    client.create_registered_model(MODEL)
    source = f"models:/{logged.model_id}"
    client.create_model_version(MODEL, source, tags=tags, model_id=logged.model_id)
    return str(logged.artifact_location).removeprefix("mlflow-artifacts:/")


def test_workers_and_restarts_share_one_copy(remote: Remote) -> None:
    """The server is asked for the files once."""
    folders = {remote.download() for _ in range(3)}

    assert len(folders) == 1
    assert remote.downloads() == 1


def test_a_damaged_copy_is_downloaded_again(remote: Remote) -> None:
    """Every byte is read before it is used."""
    weights = remote.download() / WEIGHTS
    whole = weights.read_bytes()
    before = remote.downloads()
    weights.chmod(0o600)
    weights.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])

    assert (remote.download() / WEIGHTS).read_bytes() == whole
    assert remote.downloads() == before + 1


def test_a_copy_that_differs_from_the_release_is_not_stored(remote: Remote) -> None:
    """Repaired at the server, it is. Copies that are not used any more are removed."""
    remote.download()
    remote.place.remove_unused(MODEL, keep=set())
    (copy,) = remote.copies()
    for path in (copy, *copy.rglob("*")):
        os.utime(path, (0, 0))
    remote.place.remove_unused(MODEL, keep={1, 2})
    assert remote.copies() == [copy]
    with FileLock(copy.with_name(f"{copy.name}.lock")):  # as while it is written
        remote.place.remove_unused(MODEL, keep={2})
    assert remote.copies() == [copy]
    remote.place.remove_unused(MODEL, keep={2})
    assert remote.copies() == []
    whole = (remote.files / WEIGHTS).read_bytes()
    (remote.files / WEIGHTS).write_bytes(bytes([whole[0] ^ 1]) + whole[1:])

    with pytest.raises(ArtifactChanged):
        remote.download()
    assert remote.copies() == []

    (remote.files / WEIGHTS).write_bytes(whole)
    assert remote.download().is_dir()
