"""Functions that tests run in a child process: they return, raise, hang, or are killed."""

import faulthandler
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from slipway.errors import MachineTooSmall, UnknownModel
from slipway.system.progress import printed_lines, report
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
        path: The path of the request.
        numbers: The numbers that were counted.
    """

    path: Path
    numbers: tuple[int, ...]


def count(request: ChildRequest) -> Sum:
    """Count to ``number``, printing and reporting each."""
    for number in range(request.number):
        sys.stdout.write(f"{request.text} {number}\n")
        report(number / request.number, f"counted {number}")
    return Sum(path=request.path, numbers=tuple(range(request.number)))


def hold(request: ChildRequest) -> int:
    """Hold ``number`` megabytes for a moment; return the process's id."""
    held = bytearray(request.number * MEGABYTE)
    held[::4096] = b"x" * len(held[::4096])
    time.sleep(0.5)
    return os.getpid()


def fork_often(request: ChildRequest) -> None:
    """Hold ``number`` megabytes, and fork for a moment again and again."""
    held = bytearray(request.number * MEGABYTE)
    held[::4096] = b"x" * len(held[::4096])
    for _ in range(5):
        pid = os.fork()
        if pid == 0:
            time.sleep(0.02)
            os._exit(0)
        report(None, "forked")
        os.waitpid(pid, 0)


def hold_in_helper(request: ChildRequest) -> None:
    """Have another process hold ``number`` megabytes for a while."""
    code = f"import time; held = b'x' * {request.number * MEGABYTE}; time.sleep(5)"
    subprocess.run([sys.executable, "-c", code], check=True)


def say(request: ChildRequest) -> None:
    """Write ``text`` as it is, without a line's end."""
    sys.stdout.write(request.text)


def say_watched(request: ChildRequest) -> None:
    """Write ``text`` as a library would, and report each of its lines."""
    with printed_lines(lambda line: report(None, line)):
        sys.stdout.write(request.text)


def refuse(request: ChildRequest) -> None:
    """Raise an error of our tree."""
    raise UnknownModel(request.text, ("tiny", "other"))


def too_small(request: ChildRequest) -> None:
    """Raise another error of our tree, made of numbers."""
    raise MachineTooSmall("build", "disk", needed_bytes=request.number, free_bytes=1)


def fail(request: ChildRequest) -> None:
    """Raise an error of somebody else's, with ``text``."""
    raise ValueError(request.text)


def leave(request: ChildRequest) -> None:
    """End the process with the status ``number`` and without a result."""
    sys.stdout.write(request.text)
    sys.stdout.flush()
    os._exit(request.number)


def die(request: ChildRequest) -> None:
    """Kill the process with the signal ``number``."""
    faulthandler.disable()
    os.kill(os.getpid(), signal.Signals(request.number))


def hang(request: ChildRequest) -> None:
    """Start a process that outlives a killed parent, report both ids, and never return."""
    helper = _helper()
    report(None, f"{os.getpid()} {helper.pid}")
    time.sleep(600)


def loop(request: ChildRequest) -> None:
    """Stay in native code that holds the interpreter's lock."""
    re.match(r"(a+)+$", "a" * 64 + "b")


def flood(request: ChildRequest) -> None:
    """Report progress without a pause."""
    while True:
        report(None, "still here")


def say_much(request: ChildRequest) -> str:
    """Return ``number`` megabytes."""
    return "x" * (request.number * MEGABYTE)


def leave_helper(request: ChildRequest) -> int:
    """Return the id of a process that keeps all open that this one has open."""
    pid = os.fork()
    if pid == 0:
        time.sleep(600)
    return pid


def leave_files(request: ChildRequest) -> None:
    """Forget a temporary folder."""
    tempfile.mkdtemp(prefix="childs-")


def fill_disk(request: ChildRequest) -> None:
    """Write to a disk that is full."""
    Path("/dev/full").write_text("x")


def fall_silent(request: ChildRequest) -> None:
    """Close the output and the way to the parent, and go on forever."""
    os.closerange(1, 100)
    time.sleep(600)


def environment(request: ChildRequest) -> dict[str, str]:
    """Return what this process finds in its environment."""
    return dict(os.environ)


def look_around(request: ChildRequest) -> list[str]:
    """Return the working folder, and where modules are looked for."""
    return [str(Path.cwd()), *sys.path]


def parent(request: ChildRequest) -> int:
    """Return the id of the process that started this one."""
    return os.getppid()


def fill_slowly(request: ChildRequest) -> None:
    """Make an entry of the store at ``path``, ``number`` tenths of a second long, and note it."""

    def fill(folder: Path) -> None:
        (folder / "config.json").write_text("{}")
        with (request.path.parent / "fills").open("a") as notes:
            notes.write("filled\n")
        sys.stdout.write("filling\n")
        time.sleep(request.number / 10)

    Store(request.path).make(request.text, fill)


def _helper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
