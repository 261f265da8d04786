"""The files of the home that can be made again, or that nothing reads any more."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from slipway.errors import SourceMissing
from slipway.serving.protocol import read_pointer
from slipway.settings import Settings
from slipway.system.store import Store, last_use
from slipway.values import HomeFile

#: Folders of single files, by what they are.
PLAIN: dict[Literal["log", "result"], str] = {"log": "logs", "result": "prefect/results"}


def files(settings: Settings) -> tuple[HomeFile, ...]:
    """Return what the store has, copies of versions, logs, and results of Prefect's tasks."""
    home = settings.home.resolve()
    entries = (_item(home, each, "store") for each in _folders(home / "store"))
    plain = (
        _item(home, path, kind)
        for kind, folder in PLAIN.items()
        for path in (home / folder).rglob("*")
        if path.is_file()
    )
    return (*entries, *copies(settings), *plain)


def copies(settings: Settings) -> tuple[HomeFile, ...]:
    """Return the private copies of versions."""
    home, served = settings.home.resolve(), served_versions(settings)
    return tuple(
        _item(home, folder, "copy").model_copy(update={"served": version_of(folder) in served})
        for model in _folders(home / "copies")
        for folder in _folders(model)
    )


def version_of(copy: Path) -> tuple[str, str]:
    """Return the model and the number of the version that a copy is of."""
    return copy.parent.name, copy.name.partition("-")[0]


def served_versions(settings: Settings) -> frozenset[tuple[str, str]]:
    """Return the versions that the model servers of this home have, as ``version_of`` does."""
    found: set[tuple[str, str]] = set()
    for path in settings.server_folders.rglob("pointer.json"):
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


def _item(home: Path, path: Path, kind: Literal["store", "copy", "log", "result"]) -> HomeFile:
    return HomeFile(
        kind=kind,
        name=path.relative_to(home).as_posix(),
        path=path,
        size_bytes=sum(each.lstat().st_size for each in (path, *path.rglob("*")) if each.is_file()),
        used_at=datetime.fromtimestamp(last_use(path), UTC),
    )


def _folders(folder: Path) -> Iterator[Path]:
    return (each for each in sorted(folder.glob("*")) if each.is_dir())
