"""A folder for temporary files below our home, which the next start removes if this one is killed.

Libraries and children find it in ``TMPDIR``, so what they leave behind goes with it.
"""

import atexit
import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_ATTEMPTS = 3


def claim(home: Path) -> None:
    """Give this process and its children a folder of their own for temporary files.

    It is removed when the process ends. Those of processes that were killed are removed here, and
    what they started is ended: Prefect's temporary server outlives its parent. Where ``home``
    cannot be written, the system's folder stays in use.
    """
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(OSError):  # its last user may just have removed it
            _claim(home / "tmp")
            return


def _claim(shared: Path) -> None:
    """Make this process's folder below the one that all processes share."""
    with _locked(shared) as folder:
        for other in folder.iterdir():
            with contextlib.suppress(BlockingIOError), _locked(other, fcntl.LOCK_NB):
                _end_processes(other)
                shutil.rmtree(other, ignore_errors=True)
        own = folder / str(os.getpid())
        own.mkdir(mode=0o700)
        held = os.open(own, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)
        os.set_inheritable(held, True)  # a process may become a service, which goes on using it
        os.environ["TMPDIR"] = str(own)
        tempfile.tempdir = None
        atexit.register(_remove, own, os.getpid())


def _end_processes(folder: Path) -> None:
    """End the processes whose folder for temporary files this is."""
    import psutil

    from slipway.system.process import kill

    running = psutil.process_iter(["environ"])
    kill(each for each in running if (each.info["environ"] or {}).get("TMPDIR") == str(folder))


@contextlib.contextmanager
def _locked(folder: Path, how: int = 0) -> Iterator[Path]:
    """Hold the lock of a folder; see flock(2)."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | how)
        yield folder
    finally:
        os.close(descriptor)


def _remove(own: Path, owner: int) -> None:
    if os.getpid() == owner:  # and not in a fork of it
        shutil.rmtree(own, ignore_errors=True)
        for folder in (own.parent, own.parent.parent):
            with contextlib.suppress(OSError):  # others are in it
                folder.rmdir()
