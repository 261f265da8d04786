"""A disk that gets full or fails at any write: a clear error, nothing published, then as before."""

import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from huggingface_hub import constants

from slipway.errors import DiskFailed
from slipway.sources.hub_client import RepositoryAddress
from slipway.system.store import Store
from slipway.tracking import verified_copy
from slipway.tracking.location import MlflowLocation
from slipway.tracking.verified_copy import CopyRequest, fetch
from tests.support.acme_models import NEEDED, REPO, contents, download_of
from tests.support.failing_disk import PAGE_BYTES, FailingDisk, leave_free, small_disk
from tests.support.fake_registry import FakeRegistry, registry_at
from tests.support.hub import LocalHub
from tests.support.project import empty_database

#: Writes an entry of a store below a folder, unless it is there, and returns its files.
Write = Callable[[Path], dict[str, bytes]]

FILES = {"config.json": b"{}", "model.safetensors": b"12345678" * 2048, "onnx/model.onnx": b"graph"}


@pytest.fixture
def entry() -> Write:
    """Return what writes an entry like that of a build."""

    def fill(folder: Path) -> None:
        for path, content in FILES.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(content)

    return lambda root: contents(Store(root).make("artifact-1", fill).folder)


@pytest.fixture
def download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Return what downloads a model from a Hub."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    local = LocalHub(tmp_path / "hub")
    files = {name: NEEDED[name] for name in ("config.json", "model[1].safetensors")}
    commit = local.push(REPO, files)
    with local.serve() as running:
        wanted = download_of(RepositoryAddress(REPO, commit, running.endpoint), files)

        def write(root: Path) -> dict[str, bytes]:
            store = Store(root)
            made = store.make("w", lambda into: wanted.write(into, store.partial("w")))
            return contents(made.folder)

        yield write


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Return what copies a registered version for its server.

    It does not look how much space there is, as if another process took that meanwhile.
    """
    monkeypatch.setattr(verified_copy, "require_disk", lambda *_: None)
    shutil.copy(empty_database(), tmp_path)
    database = f"sqlite:///{tmp_path / 'mlflow.db'}"
    place = MlflowLocation(uri=database, artifacts=tmp_path / "artifacts")
    model = FakeRegistry(registry_at(place, tmp_path), tmp_path / "files")
    model.release("one")

    def write(root: Path) -> dict[str, bytes]:
        copies = model.registry.copies.model_copy(update={"root": root})
        return contents(fetch(CopyRequest(place=copies, name=model.model, version=1)).folder)

    return write


@pytest.fixture(params=["entry", "copy", pytest.param("download", marks=pytest.mark.slow)])
def write(request: pytest.FixtureRequest) -> Write:
    """Return what writes big files into the home, each in turn."""
    written: Write = request.getfixturevalue(request.param)
    return written


def published(root: Path) -> list[dict[str, bytes]]:
    """Return the files of every entry below a folder."""
    return [contents(each.parent / "model") for each in root.rglob("manifest.json")]


def failure(write: Write, root: Path, healthy: dict[str, bytes]) -> str | None:
    """Return the error of a write; None if it has written what it writes to a healthy disk."""
    try:
        assert write(root) == healthy
    except DiskFailed as error:
        return str(error)
    return None


def test_a_disk_that_is_full_at_any_page_is_a_clear_error(write: Write, tmp_path: Path) -> None:
    """Nothing is published or in the way, and the same works once space is freed."""
    healthy, root = write(tmp_path / "healthy"), tmp_path / "small"
    with small_disk(root, 1 << 20):
        for pages in count():
            ballast = leave_free(root, pages * PAGE_BYTES)
            if (error := failure(write, root, healthy)) is None:
                break
            assert str(root) in error
            assert "failed (No space left on device); free space on its disk" in error
            assert published(root) == [*root.rglob("*.staging")] == []
            ballast.unlink()
            assert write(root) == healthy
            for each in root.iterdir():
                shutil.rmtree(each) if each.is_dir() else each.unlink()

    assert pages > 2


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
def test_a_disk_that_fails_at_any_operation_is_a_clear_error(
    write: Write, tmp_path: Path, lasting: bool
) -> None:
    """Nothing is published but whole entries, and the same works once the disk is repaired."""
    healthy, root = write(tmp_path / "healthy"), tmp_path / "store"
    errors: list[str] = []
    for at in count(1):
        disk = FailingDisk(root, at=at, lasting=lasting)
        with disk.failing():
            error = failure(write, root, healthy)
        if disk.count < at:
            break
        errors += [error] if error else []  # what is there already need not be made
        assert published(root) in ([], [healthy])
        assert write(root) == healthy
        shutil.rmtree(root)

    assert len(errors) > 10
    for error in errors:
        assert str(root) in error
        assert "failed (Input/output error); free space on its disk" in error
