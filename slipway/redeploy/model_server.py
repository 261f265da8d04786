"""A model server as its neighbours see it: where it listens, and which version each worker answers.

A server keeps a pointer file, which its workers read when they start, and writes ``server.json``
beside it. Every question goes over a connection of its own, so that any worker may take it.
"""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
from pydantic import ValidationError

from slipway.errors import Unreachable
from slipway.redeploy.values import Serving
from slipway.serving import pointer
from slipway.serving.pointer import Pointer
from slipway.serving.schemas import Ready
from slipway.values import Value

MODULE = "slipway.serving"

#: How Python starts the workers of a supervisor, among which is one process of its own.
_WORKER = "multiprocessing.spawn"

_ASK_SECONDS = 10.0
_POLL_SECONDS = 0.2


class Address(Value):
    """Where a server listens.

    Attributes:
        pid: Its first process, which looks after the workers.
        host: A loopback address.
        port: Its port.
        workers: How many answer.
    """

    pid: int
    host: str
    port: int
    workers: int

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"http://{self.host}:{self.port}"

    def roll(self) -> None:
        """Ask the server to replace its workers one by one."""
        os.kill(self.pid, signal.SIGHUP)


def find(folder: Path) -> Address | None:
    """Return where the server of this folder listens; None if there is none or it has ended."""
    try:
        address = Address.model_validate_json((folder / "server.json").read_bytes())
    except (OSError, ValidationError):
        return None
    return address if is_server(address.pid) else None


def is_server(pid: int) -> bool:
    """Tell whether ``pid`` is a server, and not a process that got its number later."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and MODULE in process.cmdline()
    except psutil.Error:
        return False


def point(folder: Path, model: str, version: int) -> None:
    """Let workers that start from now on take ``version``."""
    pointer.write(folder / "pointer.json", Pointer(model=model, version=version))


def ask(address: Address) -> Ready | None:
    """Return what one worker says; None if it is not ready, or nobody answers."""
    try:
        answer = httpx.get(f"{address.url}/ready", timeout=_ASK_SECONDS, trust_env=False)
        return Ready.model_validate(answer.json()) if answer.is_success else None
    except (httpx.HTTPError, ValueError):
        return None


def ask_all(address: Address) -> tuple[Ready, ...]:
    """Return what the workers say, each once; some may not have been reached."""
    count = 4 * address.workers
    with ThreadPoolExecutor(count) as pool:
        answers = pool.map(ask, [address] * count)
    return tuple({answer.pid: answer for answer in answers if answer}.values())


def serving(folder: Path, *, patience_seconds: float = 60) -> Serving | None:
    """Return what the server of this folder answers with; None if none runs.

    A server goes on with a roll whose redeploy was killed, so its end is waited for.

    Raises:
        Unreachable: If one runs, and no worker becomes ready.
    """
    deadline = time.monotonic() + patience_seconds
    while address := find(folder):
        is_rolling = len(workers(address)) != address.workers and time.monotonic() < deadline
        if not is_rolling and (found := ask_all(address)):
            oldest = min(found, key=lambda ready: ready.version)
            return Serving(
                model=oldest.model,
                version=oldest.version,
                digest=oldest.digest,
                workers=address.workers,
                mixed=len({ready.version for ready in found}) > 1,
            )
        if time.monotonic() > deadline:
            raise Unreachable("the model server", address.url, "no worker is ready")
        time.sleep(_POLL_SECONDS)
    return None


def workers(address: Address) -> set[int]:
    """Return the processes of a server's workers, those included that load or end."""
    try:
        children = psutil.Process(address.pid).children()
        return {child.pid for child in children if any(_WORKER in t for t in child.cmdline())}
    except psutil.Error:
        return set()


def family(pid: int) -> list[psutil.Process]:
    """Return a process and all that it started; empty if it has ended."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def command(folder: Path, address: dict[str, Any]) -> list[str]:
    """Return the arguments of the interpreter that start a server on this folder's pointer."""
    options = {"pointer": folder / "pointer.json", **address}
    return ["-m", MODULE, *(text for name in options for text in (f"--{name}", str(options[name])))]
