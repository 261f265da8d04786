"""A process that does nothing: it is there to be found by its command line."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def idle_process(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run an interpreter with these arguments until the block ends.

    It has begun when the block does. ``Popen`` alone returns too early: Linux closes the pipe that
    it waits for, and only then sets the command line, which reads as empty until then.
    """
    code = "print(flush=True); input()"
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            process.stdout.readline()
            yield process
        finally:
            process.kill()
