"""The files of the home that can be made again, or that nothing reads any more."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Literal

from slipway.errors import SourceMissing
from slipway.serving.protocol import read_pointer
from slipway.serving.server_file import POINTER
from slipway.settings import Settings
from slipway.system.store import Store, last_use, statuses
from slipway.values import HomeFile

#: Folders of single files, by what they are.
PLAIN: dict[Literal["log", "result"], str] = {"log": "logs", "result": "prefect/results"}


def files(settings: Settings) -> tuple[HomeFile, ...]:
    """Return what the store has, copies of versions, logs, and results of Prefect's tasks."""
    home = settings.home.resolve()
    entries = _items(home, _folders(home / "store"), "store")
    plain = chain.from_iterable(
        _items(home, _files(home / folder), kind) for kind, folder in PLAIN.items()
    )
    found = (*entries, *copies(settings), *plain)
    sizes = _freed(found)
    return tuple(each.model_copy(update={"size_bytes": sizes[each.path]}) for each in found)


def copies(settings: Settings) -> tuple[HomeFile, ...]:
    """Return the private copies of versions, without their sizes."""
    home, served = settings.home.resolve(), served_versions(settings)
    folders = chain.from_iterable(map(_folders, _folders(home / "copies")))
    return tuple(
        each.model_copy(update={"served": version_of(each.path) in served})
        for each in _items(home, folders, "copy")
    )


def version_of(copy: Path) -> tuple[str, str]:
    """Return the model and the number of the version that a copy is of."""
    return copy.parent.name, copy.name.partition("-")[0]


def served_versions(settings: Settings) -> frozenset[tuple[str, str]]:
    """Return the versions that the model servers of this home have, as ``version_of`` does."""
    found: set[tuple[str, str]] = set()
    for path in (each for each, _ in statuses(settings.server_folders) if each.name == POINTER):
        with suppress(SourceMissing):  # half of one that was written by hand
            pointer = read_pointer(path)
            found.add((pointer.model, str(pointer.version)))
    return frozenset(found)


def delete(item: HomeFile, listed_at: datetime) -> bool:
    """Delete something, unless it was used since it was listed.

    Returns:
        Whether it is gone.
    """
    if item.kind in {"store", "copy"}:
        return Store(item.path.parent).remove(item.path.name, listed_at.timestamp())
    with suppress(FileNotFoundError):
        if last_use(item.path) > listed_at.timestamp():
            return False
        item.path.unlink()
    return True


def _freed(found: Iterable[HomeFile]) -> dict[Path, int]:
    """Return the bytes that each of these frees.

    A file of the store may be one of a copy as well. It counts where it stays longest.
    """
    freed, seen = dict[Path, int](), set[tuple[int, int]]()
    for each in sorted(found, key=lambda each: (each.served, each.used_at), reverse=True):
        sizes = _sizes(each.path)
        freed[each.path] = sum(size for inode, size in sizes.items() if inode not in seen)
        seen |= sizes.keys()
    return freed


def _items(
    home: Path, paths: Iterable[Path], kind: Literal["store", "copy", "log", "result"]
) -> Iterator[HomeFile]:
    for path in paths:
        with suppress(FileNotFoundError):  # its process has ended, and removed it
            yield HomeFile(
                kind=kind,
                name=path.relative_to(home).as_posix(),
                path=path,
                size_bytes=0,  # ``files`` counts: a file may belong to several of these
                used_at=datetime.fromtimestamp(last_use(path), UTC),
            )


def _sizes(path: Path) -> dict[tuple[int, int], int]:
    """Return the sizes of the files in ``path``, by device and inode."""
    found = (status for _, status in statuses(path) if not S_ISDIR(status.st_mode))
    return {(each.st_dev, each.st_ino): each.st_size for each in found}


def _files(folder: Path) -> Iterator[Path]:
    return (path for path, status in statuses(folder) if S_ISREG(status.st_mode))


def _folders(folder: Path) -> Iterator[Path]:
    return (each for each in sorted(folder.glob("*")) if each.is_dir())
