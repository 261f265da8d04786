"""A trial: a candidate's own server beside the one that serves, with one worker, on a free port."""

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from slipway.errors import AddressTaken, StepCrashed, StepOutOfMemory, StepTimedOut
from slipway.redeploy import model_server
from slipway.redeploy.model_server import Address
from slipway.system.process import ProcessLimits, environment, held_bytes

LOOPBACK = "127.0.0.1"
STEP = "trial"

_PORTS_TRIED = 3
_POLL_SECONDS = 0.2
_END_SECONDS = 5.0
_TAKEN = f"[Errno {errno.EADDRINUSE}]"


def free_port() -> int:
    """Return a port of loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class PreflightConfig:
    """Where trials run, and what they may use.

    Attributes:
        folder: Of the model's server; a trial has a folder of its own below it.
        limits: Time until it is ready, memory at most, and where its log goes.
        port: Names the port to try next.
    """

    folder: Path
    limits: ProcessLimits
    port: Callable[[], int] = free_port


@contextmanager
def preflight(model: str, version: int, stage: PreflightConfig) -> Iterator[Address]:
    """Give the address of a server that answers with ``version``, and end it afterwards.

    A port that was taken between being found free and being used is left for the next free one.

    Raises:
        StepCrashed: If it ended before it was ready.
        StepTimedOut: If it was not ready in time.
        StepOutOfMemory: If it took more memory than it may.
        AddressTaken: If every port that was tried was taken.
    """
    stage.folder.mkdir(parents=True, exist_ok=True)
    sweep(stage.folder)
    room = Path(tempfile.mkdtemp(prefix="trial-", dir=stage.folder))
    try:
        model_server.point(room, model, version)
        with ExitStack() as stack:
            yield _first_ready(room, stage, stack)
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _first_ready(room: Path, stage: PreflightConfig, stack: ExitStack) -> Address:
    for _ in range(_PORTS_TRIED):
        port = stage.port()
        log = stage.limits.logs / f"{STEP}-{time.strftime('%Y%m%d-%H%M%S')}-{room.name}-{port}.log"
        process = stack.enter_context(_started(room, port, log))
        if address := _wait_until_ready(process, port, log, stage.limits):
            return address
    raise AddressTaken(port)


def sweep(folder: Path) -> None:
    """End what a redeploy left running that was killed in the middle of its trial.

    There is one redeploy of a model at a time, so every trial that is found belongs to nobody.
    """
    for room in folder.glob(f"{STEP}-*"):
        with suppress(OSError, ValueError):
            pid = int((room / "pid").read_text(encoding="utf-8"))
            if model_server.is_server(pid):
                _kill(model_server.family(pid))
        shutil.rmtree(room, ignore_errors=True)


@contextmanager
def _started(room: Path, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    log.parent.mkdir(parents=True, exist_ok=True)
    options = {"host": LOOPBACK, "port": port, "workers": 1}
    with log.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, *model_server.command(room, options)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment(STEP),
        )
    (room / "pid").write_text(str(process.pid), encoding="utf-8")
    try:
        yield process
    finally:
        _end(process)


def _wait_until_ready(
    process: subprocess.Popen[bytes], port: int, log: Path, limits: ProcessLimits
) -> Address | None:
    """Return where the trial answers; None if its port was taken."""
    address = Address(pid=process.pid, host=LOOPBACK, port=port, workers=1)
    deadline = time.monotonic() + limits.timeout_seconds
    began = False
    while not _answers(address):
        if _TAKEN in _said(log):
            return None
        workers = model_server.workers(address)
        if process.poll() is not None or (began and not workers):
            raise StepCrashed(STEP, _last_words(log), str(log))
        held = held_bytes(process.pid)
        if limits.memory_bytes is not None and held > limits.memory_bytes:
            raise StepOutOfMemory(STEP, held, str(log))
        if time.monotonic() > deadline:
            raise StepTimedOut(STEP, limits.timeout_seconds, str(log))
        began = bool(workers)
        time.sleep(_POLL_SECONDS)
    return address


def _answers(address: Address) -> bool:
    """Tell whether the trial itself is ready, and not somebody else who has its port."""
    ready = model_server.ask(address)
    return ready is not None and ready.pid in {
        each.pid for each in model_server.family(address.pid)
    }


def _last_words(log: Path) -> str:
    """Return why the server says that it ended: its last error, or whatever it said last."""
    lines = [line.strip() for line in _said(log).splitlines() if line.strip()]
    told = [line.partition("slipway: ")[2] for line in lines if "slipway: " in line]
    return next(reversed(told or lines), "it ended without a word")[:300]


def _said(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server gently, and after a while everything that it started."""
    family = model_server.family(process.pid)
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_SECONDS)
    _kill(family)
    process.wait()


def _kill(family: list[psutil.Process]) -> None:
    for each in family:
        with suppress(psutil.Error):
            each.kill()
