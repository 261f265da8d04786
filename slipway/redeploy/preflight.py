"""Preflight: a candidate's own server beside the serving one, with one worker, on a free port."""

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
STEP = "preflight"

_PORTS_TRIED = 3
_POLL_SECONDS = 0.2
_END_SECONDS = 5.0
_TAKEN = f"[Errno {errno.EADDRINUSE}]"


def free_port() -> int:
    """Return a port of loopback that is free at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class PreflightConfig:
    """Where preflight servers run, and what they may use.

    Attributes:
        folder: Of the model's server; each preflight has a folder of its own below it.
        limits: Time until the server is ready, memory, and the folder of its log.
        port: Returns the port to try next.
    """

    folder: Path
    limits: ProcessLimits
    port: Callable[[], int] = free_port


@contextmanager
def preflight(model: str, version: int, config: PreflightConfig) -> Iterator[Address]:
    """Yield the address of a server that answers with ``version``, and end the server afterwards.

    If a port was taken between being found free and being used, the next free one is tried.

    Raises:
        StepCrashed: If the server exited before it was ready.
        StepTimedOut: If it was not ready in time.
        StepOutOfMemory: If it exceeded its memory limit.
        AddressTaken: If every port that was tried was taken.
    """
    config.folder.mkdir(parents=True, exist_ok=True)
    end_leftovers(config.folder)
    folder = Path(tempfile.mkdtemp(prefix=f"{STEP}-", dir=config.folder))
    try:
        model_server.set_version(folder, model, version)
        with ExitStack() as stack:
            yield _first_ready(folder, config, stack)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _first_ready(folder: Path, config: PreflightConfig, stack: ExitStack) -> Address:
    for _ in range(_PORTS_TRIED):
        port = config.port()
        log = config.limits.logs / f"{time.strftime('%Y%m%d-%H%M%S')}-{folder.name}-{port}.log"
        process = stack.enter_context(_started(folder, port, log))
        if address := _wait_until_ready(process, port, log, config.limits):
            return address
    raise AddressTaken(port)


def end_leftovers(folder: Path) -> None:
    """End the preflight servers of redeploys that were killed.

    There is one redeploy of a model at a time, so no other redeploy uses what is found.
    """
    for left in folder.glob(f"{STEP}-*"):
        with suppress(OSError, ValueError):
            pid = int((left / "pid").read_text(encoding="utf-8"))
            if model_server.is_server(pid):
                _kill(model_server.process_tree(pid))
        shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _started(folder: Path, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    log.parent.mkdir(parents=True, exist_ok=True)
    options = {"host": LOOPBACK, "port": port, "workers": 1}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *model_server.command(folder, options)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment(STEP),
        )
    (folder / "pid").write_text(str(process.pid), encoding="utf-8")
    try:
        yield process
    finally:
        _end(process)


def _wait_until_ready(
    process: subprocess.Popen[bytes], port: int, log: Path, limits: ProcessLimits
) -> Address | None:
    """Return where the server answers; None if its port was taken."""
    address = Address(pid=process.pid, host=LOOPBACK, port=port, workers=1)
    deadline = time.monotonic() + limits.timeout_seconds
    had_worker = False
    while not _is_ready(address):
        if _TAKEN in _text(log):
            return None
        workers = model_server.worker_pids(address)
        if process.poll() is not None or (had_worker and not workers):
            raise StepCrashed(STEP, _last_error(log), str(log))
        held = held_bytes(process.pid)
        if limits.memory_bytes is not None and held > limits.memory_bytes:
            raise StepOutOfMemory(STEP, held, str(log))
        if time.monotonic() > deadline:
            raise StepTimedOut(STEP, limits.timeout_seconds, str(log))
        had_worker = bool(workers)
        time.sleep(_POLL_SECONDS)
    return address


def _is_ready(address: Address) -> bool:
    """Return whether the preflight server is ready, and not another process on its port."""
    ready = model_server.ready_worker(address)
    return ready is not None and ready.pid in {
        each.pid for each in model_server.process_tree(address.pid)
    }


def _last_error(log: Path) -> str:
    """Return the server's last error line, or its last line."""
    lines = [line.strip() for line in _text(log).splitlines() if line.strip()]
    errors = [line.partition("slipway: ")[2] for line in lines if "slipway: " in line]
    return next(reversed(errors or lines), "no output")[:300]


def _text(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the server to end; kill it and its descendants if it does not."""
    tree = model_server.process_tree(process.pid)
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_SECONDS)
    _kill(tree)
    process.wait()


def _kill(tree: list[psutil.Process]) -> None:
    for each in tree:
        with suppress(psutil.Error):
            each.kill()
