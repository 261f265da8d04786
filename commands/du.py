"""``slipway du``: what the home holds, and what can be deleted."""

import shutil
from pathlib import Path

from commands import console
from slipway.settings import Settings
from slipway.values import Value

#: Folders of the home: what each holds, and whether it may be deleted while nothing runs.
_CONTENT = {
    "mlflow": ("all releases: database, runs, models", False),
    "secrets": ("generated passwords and keys", False),
    "prefect": ("history of flow runs, blocks", False),
    "store": ("verified weights and artifacts; made again by the next release", True),
    "copies": ("private copies of versions; made again when one is loaded", True),
    "logs": ("output of steps and services", True),
    "tmp": ("temporary files", True),
    "serving": ("state of model servers", True),
    "servers": ("notes of running servers", True),
    "locks": ("locks", True),
}


class FolderSize(Value):
    """One folder or file of the home.

    Attributes:
        size_bytes: What its files occupy on the disk; a file with several names counts once.
        is_freed: Whether deleting it while nothing runs loses nothing that cannot be made again.
    """

    name: str
    size_bytes: int
    content: str
    is_freed: bool


def du(*, json: bool = False) -> int:
    """Show what the home holds, and what could be freed; deletes nothing.

    Args:
        json: Print the result as JSON.
    """
    home = Settings().home
    found = usage(home)
    total = sum(each.size_bytes for each in found)
    freed = sum(each.size_bytes for each in found if each.is_freed)
    disk = next(path for path in (home, *home.parents) if path.is_dir())
    free = shutil.disk_usage(disk).free
    if json:
        folders = [each.model_dump(mode="json") for each in found]
        sums = {"total_bytes": total, "freed_bytes": freed, "disk_free_bytes": free}
        console.show({"home": str(home), "folders": folders} | sums)
        return 0
    size = console.megabytes
    rows = [
        (each.name, size(each.size_bytes), "yes" if each.is_freed else "no", each.content)
        for each in found
    ]
    console.table(str(home), ("folder", "size", "can be freed", "content"), rows)
    console.say(
        f"\n{size(total)} in all; {size(freed)} would be freed by deleting the folders with yes "
        f"while nothing runs; {size(free)} of the disk are free"
    )
    return 0


def usage(home: Path) -> tuple[FolderSize, ...]:
    """Return what ``home`` holds, the largest first."""
    if not home.is_dir():
        return ()
    seen: set[tuple[int, int]] = set()
    found = []
    for path in sorted(home.iterdir(), key=lambda each: _order(each.name)):
        content, is_freed = _CONTENT.get(path.name, ("not of Slipway", False))
        size = sum(_bytes(each, seen) for each in (path, *path.rglob("*")))
        found.append(
            FolderSize(name=path.name, size_bytes=size, content=content, is_freed=is_freed)
        )
    return tuple(sorted(found, key=lambda each: -each.size_bytes))


def _order(name: str) -> tuple[bool, str]:
    """Count a file with several names where it stays, so that no more is promised than is freed."""
    return _CONTENT.get(name, ("", False))[1], name


def _bytes(path: Path, seen: set[tuple[int, int]]) -> int:
    try:
        found = path.lstat()
    except OSError:  # removed since it was listed
        return 0
    if (found.st_dev, found.st_ino) in seen:
        return 0
    seen.add((found.st_dev, found.st_ino))
    return found.st_blocks * 512
