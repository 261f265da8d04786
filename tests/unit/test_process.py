"""What is told of a process and of those that it started, some of which end meanwhile."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from slipway.redeploy import model_server
from slipway.serving.server_file import Address
from slipway.system import process as processes
from slipway.system.process import Process, held_bytes, start_seconds

#: Starts a child that ends at once and is not waited for, and one that holds 64 MB.
PARENT = """
import os, subprocess, sys
ended = subprocess.Popen([sys.executable, "-c", "pass", "multiprocessing.spawn"])
os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
code = "held = b'a' * 64_000_000; print('ready', flush=True); input()"
child = subprocess.Popen([sys.executable, "-c", code, "multiprocessing.spawn"])
input()
"""


@pytest.fixture
def parent() -> Iterator[psutil.Process]:
    """Run a process one of whose children has ended."""
    arguments = [sys.executable, "-c", PARENT]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            yield psutil.Process(process.pid)
        finally:
            process.communicate()


def test_a_descendant_that_has_ended_hides_no_memory_of_the_others(
    parent: psutil.Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was listed, and ends before it is asked; a process could pass its limit unseen."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        ended = psutil.Process(other.pid)
    tree = processes.process_tree(parent.pid)
    monkeypatch.setattr(processes, "process_tree", lambda _: [*tree, ended])

    assert 64_000_000 < held_bytes(parent.pid) < 200_000_000


def test_a_worker_that_has_ended_hides_no_other(parent: psutil.Process) -> None:
    """A redeploy would take the server for one that is replacing all its workers."""
    address = Address(pid=parent.pid, host="127.0.0.1", port=9, workers=2)
    (alive,) = (each for each in parent.children() if each.status() != psutil.STATUS_ZOMBIE)

    assert model_server.worker_pids(address) == {alive.pid}


@pytest.mark.parametrize(
    ("number", "name"),
    [(signal.SIGSEGV, "SIGSEGV"), (signal.SIGRTMIN + 1, f"signal {signal.SIGRTMIN + 1}")],
)
def test_a_signal_without_a_name_has_a_number(tmp_path: Path, number: int, name: str) -> None:
    """Python names the first and the last of the real-time signals alone."""
    code = f"import os; os.kill(os.getpid(), {int(number)})"
    process = Process("step", tmp_path / "log", subprocess.Popen([sys.executable, "-c", code]))
    process.wait(20)

    assert process.crashed().reason == f"killed by {name}"


def test_a_clock_that_is_set_while_the_start_is_read_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The time at which the machine started changes then, by a second or by hours."""
    right, boot_time = start_seconds(os.getpid()), psutil.boot_time
    before = iter([boot_time() - 1])
    monkeypatch.setattr(psutil, "boot_time", lambda: next(before, boot_time()))

    assert start_seconds(os.getpid()) == right
