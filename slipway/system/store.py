"""The store of verified folders, addressed by key.

An entry is written to a staging folder, hashed, flushed to disk and renamed into place, so it
exists as a whole or not at all. The next run removes what an interrupted one has left. Every byte
of an entry is compared with its manifest before it is used.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from types import MappingProxyType

import psutil
from filelock import FileLock, Timeout

from slipway.errors import MachineTooSmall, StoreDamaged
from slipway.system import disk
from slipway.system.failpoints import failpoint
from slipway.values import FileEntry, Stored

#: Writes an entry's files into an empty folder. It may return the SHA-256 of files by path, if it
#: has hashed them on the disk: these are not read again.
Fill = Callable[[Path], Mapping[str, str] | None]


class Store:
    """A store.

    Attributes:
        root: Its folder, made on first use.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, key: str) -> Stored | None:
        """Return the entry ``key``, or None if there is none or its bytes are damaged."""
        try:
            entry = _recorded(self.root / key)
            verify(entry)
        except (OSError, ValueError, StoreDamaged):
            return None
        return entry

    def files(self) -> dict[str, Path]:
        """Return the files of all entries by SHA-256, as their manifests say; none is read."""
        found: dict[str, Path] = {}
        for written in self.root.glob("*/manifest.json"):
            with suppress(OSError, ValueError):  # an entry that goes, or is damaged
                entry = _recorded(written.parent)
                found |= {file.sha256: entry.folder / file.path for file in entry.files}
        return found

    def partial(self, key: str) -> Path:
        """Return a folder for files of the entry ``key`` that are complete before the others.

        They outlive a run that fails, and must be verified before they are used. The folder may not
        exist, and is removed when the entry is complete.
        """
        return self.root / f"{key}.partial"

    def make(self, key: str, fill: Fill, *, size_bytes: int = 0) -> Stored:
        """Return the entry ``key``, calling ``fill`` if there is none.

        Args:
            key: The entry's name; the same inputs must give the same key.
            fill: Writes the files.
            size_bytes: Expected size, of which the partial folder may have a part already.

        Raises:
            MachineTooSmall: If the disk has less space than ``size_bytes``.
            DiskFailed: If it gets full meanwhile, or is broken.
        """
        with disk.writing(self.root), self._locked(key):
            partial, staging = self.partial(key), self.root / f"{key}.staging"
            shutil.rmtree(staging, ignore_errors=True)
            if entry := self.find(key):
                shutil.rmtree(partial, ignore_errors=True)
                return entry
            require_disk(key, size_bytes - _size_bytes(partial), self.root)
            try:
                (staging / "model").mkdir(parents=True)
                failpoint("store.before-fill")
                digests = fill(staging / "model") or {}
                failpoint("store.after-fill")
                entry = self._publish(key, staging, digests)
                failpoint("store.after-publish")
                shutil.rmtree(partial, ignore_errors=True)
                return entry
            finally:
                shutil.rmtree(staging, ignore_errors=True)

    def remove_leftovers(self) -> None:
        """Remove what runs that were killed had begun to write; what is being written now stays."""
        for staging in self.root.glob("*.staging"):
            with (
                suppress(Timeout),
                FileLock(self.root / f"{staging.stem}.lock", blocking=False),
            ):
                shutil.rmtree(staging, ignore_errors=True)

    def remove(self, name: str, unused_since: float) -> bool:
        """Remove an entry, or what is left of one, unless somebody writes it or has used it since.

        Args:
            name: The entry's folder.
            unused_since: Time in seconds since the epoch.

        Returns:
            Whether it is gone.
        """
        folder, key = self.root / name, name.removesuffix(".partial").removesuffix(".staging")
        with (
            suppress(Timeout, FileNotFoundError),
            FileLock(self.root / f"{key}.lock", blocking=False),
        ):
            if folder.is_dir() and last_use(folder) <= unused_since:
                leaving = folder.rename(self.root / f"{key}.{os.getpid()}.staging")
                shutil.rmtree(leaving, ignore_errors=True)  # ``remove_leftovers`` may be faster
        return not folder.is_dir()

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / f"{key}.lock"):
            yield

    def _publish(self, key: str, staging: Path, digests: Mapping[str, str]) -> Stored:
        final = self.root / key
        files = manifest(staging / "model", digests)
        entry = Stored(key=key, folder=final / "model", files=files)
        for file in (staging / "model").rglob("*"):
            flush(file)
        (staging / "manifest.json").write_text(entry.model_dump_json(indent=1), encoding="utf-8")
        flush(staging / "manifest.json")
        flush(staging)
        failpoint("store.before-remove")
        shutil.rmtree(final, ignore_errors=True)
        failpoint("store.before-rename")
        staging.rename(final)
        failpoint("store.after-rename")
        flush(self.root)
        return entry


def _recorded(folder: Path) -> Stored:
    """Return what a manifest says of the entry in ``folder``; the store may have moved."""
    stored = Stored.model_validate_json((folder / "manifest.json").read_bytes())
    return stored.model_copy(update={"folder": folder / "model"})


def manifest(
    folder: Path, digests: Mapping[str, str] = MappingProxyType({})
) -> tuple[FileEntry, ...]:
    """Return every file below ``folder``, in order of path.

    Args:
        folder: The folder.
        digests: SHA-256 by path of files that need not be read again.
    """
    names = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    return tuple(
        FileEntry(
            path=name,
            size_bytes=path.stat().st_size,
            sha256=digests.get(name) or sha256(path),
        )
        for name, path in names.items()
    )


def verify(entry: Stored) -> None:
    """Read every byte of ``entry`` again, which counts as a use of it.

    Raises:
        StoreDamaged: Naming the first file that is missing, changed, or not in the manifest.
    """
    with suppress(OSError):  # it is missing, or of another user
        os.utime(entry.folder.parent)
    found = {path.relative_to(entry.folder).as_posix() for path in _files(entry.folder)}
    for path in sorted(found - {file.path for file in entry.files}):
        raise StoreDamaged(entry.key, path)
    for file in entry.files:
        place = entry.folder / file.path
        if not place.is_file() or place.stat().st_size != file.size_bytes:
            raise StoreDamaged(entry.key, file.path)
        if sha256(place) != file.sha256:
            raise StoreDamaged(entry.key, file.path)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hex digits, without holding the file in memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def statuses(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield a file or folder and all that is below it, each with its status.

    What another process removes meanwhile is left out; ``Path.rglob`` would fail.
    """
    below = (Path(folder) / name for folder, *names in os.walk(path) for name in chain(*names))
    for each in chain((path,), below):
        with suppress(FileNotFoundError):
            yield each, each.lstat()


def last_use(path: Path) -> float:
    """Return when anything of a file or folder was last written or verified, in epoch seconds.

    Raises:
        FileNotFoundError: If it is gone.
    """
    return max([path.lstat().st_mtime, *(status.st_mtime for _, status in statuses(path))])


def require_disk(step: str, needed_bytes: int, folder: Path) -> None:
    """Check the free space of a disk.

    Raises:
        MachineTooSmall: If the disk of ``folder`` has less than ``needed_bytes``.
    """
    free_bytes = psutil.disk_usage(str(folder)).free
    if needed_bytes > free_bytes:
        raise MachineTooSmall(step, "disk", needed_bytes, free_bytes)


def flush(path: Path) -> None:
    """Wait until the bytes of a file, or the entries of a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in _files(folder))
