"""Disks that fail: a small one that gets full, and one that fails at a chosen operation."""

import builtins
import errno
import io
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PAGE_BYTES = 4096  # of a tmpfs


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[None]:
    """Put a folder on a file system of its own; skip the test where none can be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no small file system can be made here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)  # noqa: S607 - where it lies differs


def leave_free(folder: Path, free_bytes: int) -> Path:
    """Fill the disk of a folder but for some bytes, and return the file that takes the rest."""
    ballast = folder / "ballast.lock"
    ballast.write_bytes(b"")
    found = os.statvfs(folder)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - free_bytes)
    return ballast


class FailingDisk:
    """A disk whose operations are counted, and of which one fails, or all from one on.

    Attributes:
        count: How many operations there were: folders and files made, blocks written, flushes to
            the disk, renames.
    """

    def __init__(self, folder: Path, *, at: int = 0, lasting: bool = False) -> None:
        self._folder, self._at, self._lasting = folder, at, lasting
        self.count = 0

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Let the operations below the folder fail as asked while the body runs."""
        with pytest.MonkeyPatch.context() as patch:
            for module in (builtins, io):
                patch.setattr(module, "open", self._open(io.open))
            for name in ("mkdir", "rename", "fsync", "sendfile"):
                patch.setattr(os, name, self._counted(getattr(os, name)))
            yield

    def step(self, path: Any) -> None:
        """Count an operation on a path, and fail if it is the one."""
        if not Path(path).is_relative_to(self._folder):
            return
        self.count += 1
        if self.count == self._at or (self._lasting and self.count > self._at):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def _counted(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        def counted(path: Any, *args: Any, **options: Any) -> Any:
            at = Path(f"/proc/self/fd/{path}").readlink() if isinstance(path, int) else path
            self.step(at)
            return operation(path, *args, **options)

        return counted

    def _open(self, real: Callable[..., Any]) -> Callable[..., Any]:
        disk = self

        class Raw(io.FileIO):
            def write(self, block: Any) -> int:
                disk.step(self.name)
                return super().write(block)

        def opened(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
            if isinstance(file, int) or not {*mode} & {*"wxa"}:
                return real(file, mode, *args, **options)
            self.step(file)
            writer = io.BufferedWriter(Raw(file, mode.replace("b", "").replace("t", "")))
            return writer if "b" in mode else io.TextIOWrapper(writer, encoding="utf-8")

        return opened
