"""Ctrl-C ends a command that runs a flow, with all that it started, in seconds."""

import os
import signal
import time

import psutil

from slipway.system.process import kill, process_tree

#: As shells report a process that SIGINT ended.
EXIT_CODE = 130
TEXT = "slipway: interrupted; run the same command again: finished steps are not repeated"

_GRACE_SECONDS = 2.0


def end_at_once() -> None:
    """From now on, let Ctrl-C end this process and its children.

    For a flow without a server of its own: the terminal sends Ctrl-C to Prefect's temporary server
    too, and Prefect would try for minutes to report to it that the run was interrupted.
    """
    signal.signal(signal.SIGINT, _end)


def _end(*_: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.write(2, f"{TEXT}\n".encode())  # a print may be under way, which no signal may interrupt
    children = process_tree(os.getpid())[1:]
    for child in children:
        try:
            child.terminate()
        except psutil.Error:
            continue
    deadline = time.monotonic() + _GRACE_SECONDS
    while time.monotonic() < deadline and psutil.wait_procs(children, timeout=0.1)[1]:
        pass
    kill(children)
    os._exit(EXIT_CODE)  # what follows would wait for the server; a later command cleans up
