"""What an MLflow server keeps is fetched once, whoever loads it, and verified whenever it is."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from slipway.errors import ArtifactChanged
from slipway.serving import loading, model_cache
from slipway.serving.pointer import Pointer
from slipway.serving.protocol import Load
from slipway.system.network import answers, free_port
from slipway.tracking.location import MlflowLocation, connect
from tests.support.model_servers import MODEL, Registered, wait_until

WEIGHTS = "artifacts/model/model.onnx.data"


@dataclass(frozen=True)
class Remote:
    """The tiny model behind an MLflow server, whose artifacts nobody but the server can open.

    Attributes:
        place: The server.
        kept: Where it keeps the model's files.
        log: What it was asked.
        root: Folder for copies.
    """

    place: MlflowLocation
    kept: Path
    log: Path
    root: Path

    def fetch(self) -> Path:
        """Return the files as an engine loads them."""
        pointer = Pointer(model=MODEL, version=1)
        connect(self.place)
        load = Load(place=self.place, pointer=pointer, copies=self.root)
        return loading._folder(load, loading._released(pointer))

    def fetched(self) -> int:
        """Return how often the weights were asked for."""
        said = self.log.read_text(encoding="utf-8")
        return said.count(f"/{WEIGHTS} ")

    def copies(self) -> list[Path]:
        """Return the copies that there are."""
        return list(self.root.glob("*-*/"))


@pytest.fixture(scope="module")
def remote(registered: Registered, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    """Run an MLflow server that has version 2 of the tiny model as its version 1."""
    folder = tmp_path_factory.mktemp("remote")
    url = f"http://127.0.0.1:{free_port()}"
    store = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1"]
    where = ["--artifacts-destination", str(folder / "artifacts"), "--port", url.rpartition(":")[2]]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *store, *where],
            env=dict(os.environ) | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: answers(f"{url}/health"), 120)
        place = MlflowLocation(uri=url, artifacts=None)
        kept = folder / "artifacts" / _register(place, registered.tags(2))
        shutil.copytree(registered.logged, kept)
        yield Remote(place, kept, folder / "log", folder / "copies")
    finally:
        process.terminate()
        process.wait(60)


def _register(place: MlflowLocation, tags: dict[str, str]) -> str:
    """Register a version, and return where the server looks for its files."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=place.uri, registry_uri=place.uri)
    logged = client.create_logged_model("0", MODEL)
    client.finalize_logged_model(logged.model_id, "READY")
    client.create_registered_model(MODEL)
    source = f"models:/{logged.model_id}"
    client.create_model_version(MODEL, source, tags=tags, model_id=logged.model_id)
    return str(logged.artifact_location).removeprefix("mlflow-artifacts:/")


def test_workers_and_restarts_share_one_copy(remote: Remote) -> None:
    """The server is asked for the files once."""
    folders = {remote.fetch() for _ in range(3)}

    assert len(folders) == 1
    assert remote.fetched() == 1


def test_a_damaged_copy_is_fetched_again(remote: Remote) -> None:
    """Every byte is read before it is used."""
    weights = remote.fetch() / WEIGHTS
    whole = weights.read_bytes()
    before = remote.fetched()
    weights.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])

    assert (remote.fetch() / WEIGHTS).read_bytes() == whole
    assert remote.fetched() == before + 1


def test_what_is_not_what_was_released_is_not_kept(remote: Remote) -> None:
    """Whole again at the server, it is. Copies of versions that serve no more are removed."""
    model_cache.keep(remote.root, {2})
    assert remote.copies() == []
    whole = (remote.kept / WEIGHTS).read_bytes()
    (remote.kept / WEIGHTS).write_bytes(bytes([whole[0] ^ 1]) + whole[1:])

    with pytest.raises(ArtifactChanged):
        remote.fetch()
    assert remote.copies() == []

    (remote.kept / WEIGHTS).write_bytes(whole)
    assert remote.fetch().is_dir()
    model_cache.keep(remote.root, {1, 2})
    assert len(remote.copies()) == 1
