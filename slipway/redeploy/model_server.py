"""A running model server: where it listens, its workers, and the version that each of them serves.

The server's folder has its pointer file, which workers read when they start, and ``server.json``,
which the server writes. Every request uses a new connection, so that any worker may accept it.
"""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil

from slipway.errors import NotServed, ServedElsewhere, SourceMissing, Unreachable
from slipway.redeploy.values import Serving
from slipway.serving import server_file
from slipway.serving.protocol import Pointer, read_pointer, write_pointer
from slipway.serving.responses import Ready
from slipway.serving.server_file import MODULE, Address
from slipway.system.network import LOOPBACK
from slipway.tracking.verified_copy import VerifiedCopy

#: In the command line of every worker; the supervisor has one more child process without it.
_WORKER = "multiprocessing.spawn"

#: Within this time, `slipway up` notices a first champion, and a server its workers.
START_SECONDS = 20.0

_READY_SECONDS = 10.0
_POLL_SECONDS = 0.2


def find(folder: Path) -> Address | None:
    """Return where the server of this folder listens; None if none is running."""
    return server_file.read(folder / server_file.SERVER)


def serves(url: str, model: str) -> bool:
    """Return whether a server that is ready at ``url`` serves a model, wherever it runs."""
    try:
        answer = httpx.get(f"{url}/ready", timeout=_READY_SECONDS, trust_env=False)
        found = answer.json() if answer.is_success else {}
        return any(each["model"] == model for each in found.get("models", [found] if found else []))
    except (httpx.HTTPError, ValueError, LookupError, TypeError, AttributeError):
        return False  # nothing answers, or something that is no model server


def awaited(
    folder: Path, model: str, url: str, *, patience_seconds: float = START_SECONDS
) -> Address | None:
    """Return where the server of this folder listens; None if none is running.

    One that is starting is waited for: its first worker answers before the server says where it
    listens.

    Args:
        folder: The server's folder.
        model: Name of the registered model.
        url: Where a server of the model may be found otherwise.
        patience_seconds: Longest wait while a server answers there.
    """
    deadline = time.monotonic() + patience_seconds
    while (address := find(folder)) is None and serves(url, model):
        if time.monotonic() > deadline:
            break
        time.sleep(_POLL_SECONDS)
    return address


def require(folder: Path, model: str, url: str, *, patience_seconds: float = START_SECONDS) -> None:
    """Check that a server runs in this folder; see ``awaited``.

    Raises:
        ServedElsewhere: If it is found only at ``url``.
        NotServed: If none is running.
    """
    if awaited(folder, model, url, patience_seconds=patience_seconds) is None:
        raise ServedElsewhere(model, url) if serves(url, model) else NotServed(model)


def next_version(folder: Path) -> int | None:
    """Return the version that a server of this folder starts with; None if it has none yet."""
    try:
        return read_pointer(folder / server_file.POINTER).version
    except SourceMissing:
        return None


def set_version(folder: Path, model: str, version: int, files: VerifiedCopy | None = None) -> None:
    """Write the pointer file: workers that start from now on load ``version``.

    ``files`` is its copy, for a server that may not sign in to MLflow.
    """
    pointer = Pointer(model=model, version=version, files=files)
    write_pointer(folder / server_file.POINTER, pointer)


def replace_workers(address: Address) -> None:
    """Ask the server to replace its workers one by one."""
    os.kill(address.pid, signal.SIGHUP)


def ready_worker(address: Address) -> Ready | None:
    """Return what one worker reports; None if it is not ready or does not answer."""
    try:
        answer = httpx.get(f"{address.url}/ready", timeout=_READY_SECONDS, trust_env=False)
        return Ready.model_validate(answer.json()) if answer.is_success else None
    except (httpx.HTTPError, ValueError):
        return None


def ready_workers(address: Address) -> tuple[Ready, ...]:
    """Return what the workers report, each once; some may be missing by chance."""
    count = 4 * address.workers
    with ThreadPoolExecutor(count) as pool:
        answers = pool.map(ready_worker, [address] * count)
    return tuple({answer.pid: answer for answer in answers if answer}.values())


def serving(folder: Path, *, patience_seconds: float = 60) -> Serving | None:
    """Return what the server of this folder answers with; None if none is running.

    A server continues to replace its workers when the redeploy that asked for it was killed. This
    waits until that has ended.

    Raises:
        Unreachable: If no worker becomes ready.
    """
    deadline = time.monotonic() + patience_seconds
    while address := find(folder):
        late = time.monotonic() > deadline
        is_switching = len(worker_pids(address)) != address.workers and not late
        if not is_switching and (workers := ready_workers(address)):
            oldest = min(workers, key=lambda ready: ready.version)
            return Serving(
                model=oldest.model,
                version=oldest.version,
                digest=oldest.digest,
                workers=address.workers,
                mixed=len({ready.version for ready in workers}) > 1,
            )
        if late:
            raise Unreachable("the model server", address.url, "no worker is ready")
        time.sleep(_POLL_SECONDS)
    return None


def worker_pids(address: Address) -> set[int]:
    """Return the processes of all workers, including those that are loading or ending."""
    try:
        children = psutil.Process(address.pid).children()
    except psutil.Error:
        return set()
    return {child.pid for child in children if _is_worker(child)}


def _is_worker(process: psutil.Process) -> bool:
    try:
        return any(_WORKER in text for text in process.cmdline())
    except psutil.Error:  # it has just ended
        return False


def command(*folders: Path, port: int, workers: int, host: str = LOOPBACK) -> list[str]:
    """Return the interpreter's arguments that start a server of these folders' models."""
    pointers = (str(folder / server_file.POINTER) for folder in folders)
    flags = {"--host": host, "--port": port, "--workers": workers}
    where = (str(text) for flag in flags.items() for text in flag)
    return ["-m", MODULE, "--pointer", *pointers, *where]
