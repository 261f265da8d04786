"""Preflight: a candidate's own server beside the serving one, with one worker, on a free port."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from slipway.redeploy import model_server
from slipway.serving.server_file import MODULE, Address
from slipway.system import process as processes
from slipway.system.failpoints import failpoint
from slipway.system.process import Process, ProcessLimits
from slipway.tracking.verified_copy import VerifiedCopy

STEP = "preflight"

_POLL_SECONDS = 0.2
_END_SECONDS = 5.0


@contextmanager
def preflight(
    model: str, version: int, files: VerifiedCopy, folder: Path, limits: ProcessLimits
) -> Iterator[Address]:
    """Yield the address of a server that answers with ``version``, and end the server afterwards.

    Args:
        model: Name of the registered model.
        version: The candidate.
        files: Its copy; the server runs its wrapper, so it cannot sign in to MLflow.
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
        failpoint("preflight.after-folder")
        model_server.set_version(own, model, version, files)
        with _started(own, log) as process:
            failpoint("preflight.after-start")
            address = _wait_until_ready(process, own, limits)
            failpoint("preflight.after-ready")
            yield address
        failpoint("preflight.after-end")
    finally:
        shutil.rmtree(own, ignore_errors=True)


def end_leftovers(folder: Path) -> None:
    """End the preflight servers of redeploys that were killed.

    There is one redeploy of a model at a time, so no other redeploy uses what is found. A server
    is found by its command line, which names its pointer file from the moment when it starts.
    """
    pointers = f"{folder}/{STEP}-"
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or ()
        if MODULE in words and any(word.startswith(pointers) for word in words):
            processes.kill(processes.process_tree(process.pid))
    for left in folder.glob(f"{STEP}-*"):
        shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _started(folder: Path, log: Path) -> Iterator[Process]:
    command = model_server.command(folder, port=0, workers=1)
    process = processes.spawn(STEP, command, log, processes.environment(STEP))
    try:
        yield process
    finally:
        process.end(_END_SECONDS)


def _wait_until_ready(process: Process, folder: Path, limits: ProcessLimits) -> Address:
    while not (address := model_server.find(folder)):
        if not process.is_running():
            raise process.crashed("slipway: ")
        process.require_limits(limits)
        time.sleep(_POLL_SECONDS)
    return address
