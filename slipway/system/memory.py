"""How much memory this process may take: of the machine, or of the container that it runs in.

``psutil`` reads the figures of the machine. A container has a limit of its own, and the kernel ends
a process that exceeds it. The limit is in the files of the control group, as the kernel's document
``cgroup-v2`` describes them.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

#: Files that were read twice are active; Slipway hashes a file, and then loads it.
_DROPPED = ("inactive_file", "active_file", "slab_reclaimable")
_GROUPS, _OWN_GROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def total_bytes() -> int:
    """Return the memory that there is for all processes of this machine or container."""
    return min([int(psutil.virtual_memory().total), *(limit for limit, _ in _limits())])


def free_bytes() -> int:
    """Return the memory that is free; what the kernel only caches counts as free."""
    free = (max(limit - used, 0) for limit, used in _limits())
    return min([int(psutil.virtual_memory().available), *free])


def _limits() -> Iterator[tuple[int, int]]:
    """Yield the limit of each control group that this process is in, and what is used of it.

    A machine with the first version of control groups has no such files, and no limit for us.
    """
    for folder in _groups():
        with suppress(OSError, ValueError):  # no limit: the root has no file, others say "max"
            limit = int((folder / "memory.max").read_text(encoding="utf-8"))
            used = int((folder / "memory.current").read_text(encoding="utf-8"))
            yield limit, used - _cached_bytes(folder)


def _groups() -> Iterator[Path]:
    """Yield the control group of this process, and those around it."""
    with suppress(OSError):
        for line in _OWN_GROUP.read_text(encoding="utf-8").splitlines():
            if line.startswith("0::/"):
                own = _GROUPS / line.removeprefix("0::/")
                yield from (own, *(each for each in own.parents if each.is_relative_to(_GROUPS)))


def _cached_bytes(folder: Path) -> int:
    """Return the bytes that the kernel drops before it ends a process: of files, and of its own."""
    lines = (folder / "memory.stat").read_text(encoding="utf-8").splitlines()
    counted = dict(line.split() for line in lines)
    return sum(int(counted.get(name, 0)) for name in _DROPPED)
