"""How a long step reports its progress, also from a child process to its parent.

A child writes JSON lines to a descriptor that only it and its parent have; what libraries print
goes to the log.
"""

import contextlib
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TextIO


class Progress(Protocol):
    """Receives the progress of a step.

    Args of a call:
        share: How much is done, from 0 to 1; None while that is not known.
        text: What is being done, for people.
    """

    def __call__(self, share: float | None, text: str) -> None:
        """Take one report."""


def silent(share: float | None, text: str) -> None:
    """Ignore progress."""


class _Channel:
    """A child's way to its parent; closed in every other process."""

    descriptor: int | None = None


def open_channel(descriptor: int) -> None:
    """Send the reports of this process, which is a child, to ``descriptor``."""
    os.set_inheritable(descriptor, False)
    _Channel.descriptor = descriptor


def send(document: dict[str, Any]) -> None:
    """Write one JSON line to the parent; does nothing in a process that is not a child."""
    if _Channel.descriptor is None:
        return
    line = memoryview(json.dumps(document).encode() + b"\n")
    while line:
        line = line[os.write(_Channel.descriptor, line) :]


def report(share: float | None, text: str) -> None:
    """Report progress from a function that runs in a child process; see ``Progress``."""
    send({"progress": [share, text]})


@contextlib.contextmanager
def printed_lines(read: Callable[[str], None]) -> Iterator[None]:
    """Give ``read`` every line that Python code prints meanwhile; the log receives it as well.

    For libraries that report their progress in no other way. A bar that redraws itself with a
    carriage return counts as a line each time.
    """
    out, err = _Tee(sys.stdout, read), _Tee(sys.stderr, read)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield
    out.end()
    err.end()


class _Tee(io.TextIOBase):
    def __init__(self, stream: TextIO, read: Callable[[str], None]) -> None:
        self._stream, self._read, self._rest = stream, read, ""

    def write(self, text: str) -> int:
        self._stream.write(text)
        *lines, self._rest = re.split(r"[\r\n]", self._rest + text)
        for line in filter(None, map(str.rstrip, lines)):
            self._read(line)
        return len(text)

    def end(self) -> None:
        if self._rest:
            self.write("\n")

    def flush(self) -> None:
        self._stream.flush()
