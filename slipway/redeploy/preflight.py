"""Preflight: a candidate's own server beside the serving one, with one worker, on a free port."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from slipway.errors import StepCrashed, StepOutOfMemory, StepTimedOut
from slipway.redeploy import model_server
from slipway.redeploy.model_server import Address
from slipway.system.process import ProcessLimits, environment, held_bytes

STEP = "preflight"

_POLL_SECONDS = 0.2
_END_SECONDS = 5.0


@contextmanager
def preflight(model: str, version: int, folder: Path, limits: ProcessLimits) -> Iterator[Address]:
    """Yield the address of a server that answers with ``version``, and end the server afterwards.

    Args:
        model: Name of the registered model.
        version: The candidate.
        folder: Of the model's server; each preflight has a folder of its own below it.
        limits: Time until the server is ready, memory, and the folder of its log.

    Raises:
        StepCrashed: If the server exited before it was ready.
        StepTimedOut: If it was not ready in time.
        StepOutOfMemory: If it exceeded its memory limit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    end_leftovers(folder)
    own = Path(tempfile.mkdtemp(prefix=f"{STEP}-", dir=folder))
    log = limits.logs / f"{time.strftime('%Y%m%d-%H%M%S')}-{own.name}.log"
    try:
        model_server.set_version(own, model, version)
        with _started(own, log) as process:
            yield _wait_until_ready(process, own, log, limits)
    finally:
        shutil.rmtree(own, ignore_errors=True)


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
def _started(folder: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *model_server.command(folder, port=0, workers=1)],
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
    process: subprocess.Popen[bytes], folder: Path, log: Path, limits: ProcessLimits
) -> Address:
    deadline = time.monotonic() + limits.timeout_seconds
    while not (address := model_server.find(folder)):
        if process.poll() is not None:
            raise StepCrashed(STEP, _last_error(log), str(log))
        held = held_bytes(process.pid)
        if limits.memory_bytes is not None and held > limits.memory_bytes:
            raise StepOutOfMemory(STEP, held, str(log))
        if time.monotonic() > deadline:
            raise StepTimedOut(STEP, limits.timeout_seconds, str(log))
        time.sleep(_POLL_SECONDS)
    return address


def _last_error(log: Path) -> str:
    """Return the server's last error line, or its last line."""
    text = log.read_text(encoding="utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line.partition("slipway: ")[2] for line in lines if "slipway: " in line]
    return next(reversed(errors or lines), "no output")[:300]


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
