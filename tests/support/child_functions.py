"""What tests have done in a child process: functions that return, raise, hang, or are killed."""

import faulthandler
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from slipway.errors import MachineTooSmall, UnknownModel
from slipway.system.store import Store
from slipway.values import Value

MEGABYTE = 1_000_000


class ChildRequest(Value):
    """What to do; each function reads the fields that it needs.

    Attributes:
        text: Something to say.
        number: A count, a size in megabytes, or a signal.
        path: Where to leave a trace.
    """

    text: str = ""
    number: int = 0
    path: Path = Path()


class Sum(Value):
    """A result that is a value.

    Attributes:
        path: What was asked.
        numbers: What was counted.
    """

    path: Path
    numbers: tuple[int, ...]


def count(errand: ChildRequest) -> Sum:
    """Count to ``number``, aloud."""
    for number in range(errand.number):
        sys.stdout.write(f"{errand.text} {number}\n")
    return Sum(path=errand.path, numbers=tuple(range(errand.number)))


def hold(errand: ChildRequest) -> int:
    """Hold ``number`` megabytes for a moment; return the process's id."""
    held = bytearray(errand.number * MEGABYTE)
    held[::4096] = b"x" * len(held[::4096])
    time.sleep(0.5)
    return os.getpid()


def fork_often(errand: ChildRequest) -> None:
    """Hold ``number`` megabytes, and fork for a moment again and again, aloud."""
    held = bytearray(errand.number * MEGABYTE)
    held[::4096] = b"x" * len(held[::4096])
    for _ in range(5):
        pid = os.fork()
        if pid == 0:
            time.sleep(0.02)
            os._exit(0)
        sys.stdout.write("forked\n")
        os.waitpid(pid, 0)


def hold_in_helper(errand: ChildRequest) -> None:
    """Have another process hold ``number`` megabytes for a while."""
    code = f"import time; held = b'x' * {errand.number * MEGABYTE}; time.sleep(5)"
    subprocess.run([sys.executable, "-c", code], check=True)


def say(errand: ChildRequest) -> None:
    """Write ``text`` as it is, without a line's end."""
    sys.stdout.write(errand.text)


def refuse(errand: ChildRequest) -> None:
    """Raise an error of our tree."""
    raise UnknownModel(errand.text, ("tiny", "other"))


def too_small(errand: ChildRequest) -> None:
    """Raise another error of our tree, made of numbers."""
    raise MachineTooSmall("prepare", "disk", needed_bytes=errand.number, free_bytes=1)


def fail(errand: ChildRequest) -> None:
    """Raise an error of somebody else's, with ``text``."""
    raise ValueError(errand.text)


def leave(errand: ChildRequest) -> None:
    """End the process with the status ``number`` and without a result."""
    sys.stdout.write(errand.text)
    sys.stdout.flush()
    os._exit(errand.number)


def die(errand: ChildRequest) -> None:
    """Kill the process with the signal ``number``."""
    faulthandler.disable()
    os.kill(os.getpid(), signal.Signals(errand.number))


def hang(errand: ChildRequest) -> None:
    """Start a process that outlives a killed parent, tell both ids, and never return."""
    helper = _helper()
    sys.stdout.write(f"{os.getpid()} {helper.pid}\n")
    time.sleep(600)


def leave_helper(errand: ChildRequest) -> int:
    """Return the id of a process that still holds this one's output open."""
    return _helper().pid


def fall_silent(errand: ChildRequest) -> None:
    """Close the output, and go on forever."""
    for descriptor in (1, 2):
        os.close(descriptor)
    time.sleep(600)


def environment(errand: ChildRequest) -> dict[str, str]:
    """Return what this process finds in its environment."""
    return dict(os.environ)


def fill_slowly(errand: ChildRequest) -> None:
    """Make an entry of the store at ``path``, ``number`` tenths of a second long, and note it."""

    def fill(folder: Path) -> None:
        (folder / "config.json").write_text("{}")
        with (errand.path.parent / "fills").open("a") as notes:
            notes.write("filled\n")
        sys.stdout.write("filling\n")
        time.sleep(errand.number / 10)

    Store(errand.path).make(errand.text, fill)


def _helper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
