"""Ctrl-C ends a command and what it started, at once."""

import os
import signal
import subprocess
import sys
import time

import psutil

from commands import interrupt
from tests.support.project import PROJECT

_COMMAND = """
import subprocess, sys, time
from commands import interrupt
interrupt.end_at_once()
sleep = [sys.executable, "-c", "import time; time.sleep(99)"]
child = subprocess.Popen(sleep, start_new_session=True)
print(child.pid, flush=True)
while True:
    try:
        time.sleep(99)
    finally:
        time.sleep(99)  # as Prefect's attempts to reach its server
"""


def test_the_command_and_its_children_end_in_seconds_with_one_line() -> None:
    """Whatever would still be tried on the way out."""
    command = subprocess.Popen(
        [sys.executable, "-c", _COMMAND],
        cwd=PROJECT,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert command.stdout is not None
    child = psutil.Process(int(command.stdout.readline()))
    started = time.monotonic()
    command.send_signal(signal.SIGINT)
    _, said = command.communicate(timeout=30)

    assert command.returncode == interrupt.EXIT_CODE
    assert said.splitlines() == [interrupt.TEXT]
    assert not child.is_running()
    assert time.monotonic() - started < 5
