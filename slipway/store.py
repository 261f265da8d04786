"""The folder of verified bytes: written once, addressed by key, trusted only by manifest.

An entry is made in a staging folder, hashed, flushed to disk and renamed into place, so that it is
there as a whole or not at all. What an interrupted run left in staging is removed by the next run
that makes the same entry.
"""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import psutil
from filelock import FileLock

from slipway.errors import MachineTooSmall, StoreDamaged
from slipway.values import FileEntry, Stored

_BLOCK_BYTES = 1 << 20


class Store:
    """All verified folders below one root.

    Attributes:
        root: The store's folder; it is made when it is first needed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, key: str) -> Stored | None:
        """Return the entry ``key``, or None if there is none or its bytes are damaged."""
        folder = self.root / key
        try:
            stored = Stored.model_validate_json((folder / "manifest.json").read_bytes())
            entry = stored.model_copy(update={"folder": folder / "model"})  # wherever it was made
            verify(entry)
        except (OSError, ValueError, StoreDamaged):
            return None
        return entry

    def make(self, key: str, fill: Callable[[Path], None], *, size_bytes: int = 0) -> Stored:
        """Return the entry ``key``, calling ``fill`` for it unless it is already there.

        Args:
            key: The entry's name; the same inputs must give the same key.
            fill: Writes the files into the empty folder that it is given.
            size_bytes: Expected size, for which room must be free beforehand.

        Raises:
            MachineTooSmall: If the disk has less room than ``size_bytes``.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / f"{key}.lock"):
            if entry := self.find(key):
                return entry
            require_disk(key, size_bytes, self.root)
            staging = self.root / f"{key}.staging"
            shutil.rmtree(staging, ignore_errors=True)
            try:
                (staging / "model").mkdir(parents=True)
                fill(staging / "model")
                return self._publish(key, staging)
            finally:
                shutil.rmtree(staging, ignore_errors=True)

    def _publish(self, key: str, staging: Path) -> Stored:
        final = self.root / key
        entry = Stored(key=key, folder=final / "model", files=manifest(staging / "model"))
        for file in (staging / "model").rglob("*"):
            _flush(file)
        (staging / "manifest.json").write_text(entry.model_dump_json(indent=1), encoding="utf-8")
        _flush(staging / "manifest.json")
        _flush(staging)
        shutil.rmtree(final, ignore_errors=True)
        staging.rename(final)
        _flush(self.root)
        return entry


def manifest(folder: Path) -> tuple[FileEntry, ...]:
    """Return every file below ``folder``, in order of path."""
    return tuple(
        FileEntry(
            path=path.relative_to(folder).as_posix(),
            size_bytes=path.stat().st_size,
            sha256=sha256(path),
        )
        for path in _files(folder)
    )


def verify(entry: Stored) -> None:
    """Read every byte of ``entry`` again.

    Raises:
        StoreDamaged: Naming the first file that is missing, changed, or not in the manifest.
    """
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


def require_disk(step: str, needed_bytes: int, folder: Path) -> None:
    """Check that ``folder`` has room.

    Raises:
        MachineTooSmall: If it has less than ``needed_bytes``.
    """
    free_bytes = psutil.disk_usage(str(folder)).free
    if needed_bytes > free_bytes:
        raise MachineTooSmall(step, "disk", needed_bytes, free_bytes)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
