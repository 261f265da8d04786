"""The files that MLflow keeps of a registered version: their names, and a copy of each.

What MLflow keeps is not trusted: whoever may edit an experiment may add files to its models. So
names are checked before a path is made of them, and links are not followed.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from slipway.errors import VersionRefused
from slipway.system.store import Store, sha256
from slipway.tracking.location import MlflowLocation, client_of

_BLOCK_BYTES = 1 << 20
#: What to do about a file that should not be there.
DELETE = "delete it from MLflow's files of this version, or release the model again"


class ModelFiles(Protocol):
    """The files of one version, wherever MLflow keeps them."""

    def sizes(self) -> dict[str, int]:
        """Return the size in bytes of every file, by path; 0 where it is unknown."""

    def new_bytes(self, sizes: Mapping[str, int]) -> int:
        """Return how many bytes copies of files with these sizes take at least."""

    def copy(self, path: str, folder: Path) -> str:
        """Copy one file to the same path below ``folder`` and return the copy's SHA-256."""


def open_files(name: str, version: int, location: MlflowLocation, store: Store) -> ModelFiles:
    """Return the files of a registered version of ``location``, which ``connect`` has reached.

    Unity Catalog has a copy of what a version was registered with; MLflow's server has all of it.

    Args:
        name: The registered model.
        version: Its number.
        location: Where it is registered.
        store: As ``FolderFiles`` has it.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.store.artifact.models_artifact_repo import ModelsArtifactRepository

    address = f"models:/{name}/{version}"
    if location.catalog:
        address = client_of(location).get_model_version(name, str(version)).source
    repository = get_artifact_repository(address)
    while isinstance(repository, ModelsArtifactRepository):
        repository = repository.repo
    return _files_in(repository, f"{name} v{version}", store)


def open_run_files(run: Any) -> ModelFiles:
    """Return the files that a run of that MLflow has logged."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    repository = get_artifact_repository(run.info.artifact_uri)
    return _files_in(repository, f"run {run.info.run_id}")


def _files_in(repository: Any, who: str, store: Store | None = None) -> ModelFiles:
    address = urlsplit(repository.artifact_uri)
    if address.scheme in {"", "file"}:
        return FolderFiles(Path(unquote(address.path)), who, store)
    return RepositoryFiles(repository, who)


class FolderFiles:
    """Files in a folder of this machine, which others may change at any time.

    Args:
        folder: MLflow's folder of the model.
        who: The version, for errors.
        store: Holds files that only this user writes, and that no longer change.
    """

    def __init__(self, folder: Path, who: str, store: Store | None = None) -> None:
        self._folder = folder
        self._who = who
        self._store = store

    def sizes(self) -> dict[str, int]:
        """Return the size in bytes of every file, by path.

        Raises:
            VersionRefused: If there is a link, or something else that is no file.
        """
        return {
            path.relative_to(self._folder).as_posix(): path.stat().st_size for path in self._walk()
        }

    def new_bytes(self, sizes: Mapping[str, int]) -> int:
        """Return the size of those files that the store cannot have: it has none of their size."""
        stored = set()
        for path in self._stored.values():
            with suppress(OSError):  # gone meanwhile
                stored.add(path.stat().st_size)
        return sum(size for size in sizes.values() if size not in stored)

    def copy(self, path: str, folder: Path) -> str:
        """Hash the bytes that are written, so that a later change of the source has no effect.

        A file whose bytes are stored already gets another name, and is not written again.
        """
        digest, target = hashlib.sha256(), folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        source = os.open(self._folder / path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(source, "rb") as reading:
            if self._stored and (known := self._linked(reading, target)):
                return known
            reading.seek(0)
            with target.open("xb") as writing:
                while block := reading.read(_BLOCK_BYTES):
                    digest.update(block)
                    writing.write(block)
        return digest.hexdigest()

    @cached_property
    def _stored(self) -> dict[str, Path]:
        return self._store.files() if self._store else {}

    def _linked(self, reading: Any, target: Path) -> str | None:
        """Return the SHA-256 of an open file, if ``target`` is now a name of its stored bytes."""
        digest = hashlib.file_digest(reading, "sha256").hexdigest()
        with suppress(OSError, KeyError):  # not stored, gone meanwhile, or on another disk
            stored = self._stored[digest].resolve()
            if sha256(stored) == digest:
                os.link(stored, target)
                return digest
        return None

    def _walk(self) -> Iterator[Path]:
        for parent, folders, files in os.walk(self._folder):
            for path in (Path(parent, name) for name in sorted(folders + files)):
                if path.is_symlink() or not (path.is_dir() or path.is_file()):
                    name = path.relative_to(self._folder).as_posix()
                    raise VersionRefused(self._who, f"{name} is a link", DELETE)
                if path.is_file():
                    yield path


class RepositoryFiles:
    """Files behind MLflow's server, or in another store that its client reads.

    Args:
        repository: MLflow's artifact repository of the model.
        who: The version, for errors.
    """

    def __init__(self, repository: Any, who: str) -> None:
        self._repository = repository
        self._who = who

    def sizes(self) -> dict[str, int]:
        """Return the size in bytes of every file, by path; 0 where it is unknown.

        Raises:
            VersionRefused: If a name of the listing is no plain path.
        """
        return dict(self._walk(None))

    def new_bytes(self, sizes: Mapping[str, int]) -> int:
        """Return the size of all files: each is downloaded."""
        return sum(sizes.values())

    def copy(self, path: str, folder: Path) -> str:
        """Download into ``folder``, which nobody else writes to, and hash what arrived."""
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        self._repository.download_artifacts(path, str(folder))
        return sha256(folder / path)

    def _walk(self, parent: str | None) -> Iterator[tuple[str, int]]:
        for found in self._repository.list_artifacts(parent):
            parts = PurePosixPath(found.path).parts
            if "\\" in found.path or parts[:1] == ("/",) or {"..", "."} & {*parts}:
                raise VersionRefused(self._who, f"{found.path!r} is no plain path", DELETE)
            if found.is_dir:
                yield from self._walk(found.path)
            else:
                yield found.path, int(found.file_size or 0)
