"""The files in the folder of a model's server: what it serves, and where it is reached.

``pointer.json`` names the version to serve. ``server.json`` says where the model's own server
listens; if one address has several models, ``front.json`` says where that is. Each of these two is
there while its process listens.
"""

import socket
from pathlib import Path

import psutil
from pydantic import ValidationError

from slipway.system.failpoints import failpoint
from slipway.system.network import host_in_url
from slipway.system.process import start_seconds
from slipway.values import Record

POINTER, SERVER, FRONT = "pointer.json", "server.json", "front.json"

#: In the command line of every process that writes such a file.
MODULE = "slipway.serving"


class Address(Record):
    """Where a server listens.

    Attributes:
        pid: Its supervisor.
        host: Where it listens.
        port: Its port.
        workers: Number of workers of a model.
        started_seconds: When the process started, after its machine did: another machine or
            container that has the same folder may have a server of the same number. 0 in older
            files.
    """

    pid: int
    host: str
    port: int
    workers: int
    started_seconds: float = 0

    @property
    def url(self) -> str:
        """Base URL without a trailing slash."""
        return f"http://{host_in_url(self.host)}:{self.port}"


def write(file: Path, pid: int, listener: socket.socket, workers: int) -> None:
    """Write where a process listens.

    Args:
        file: Replaced atomically.
        pid: The process.
        listener: Its bound socket.
        workers: Number of workers of a model.
    """
    host, port = listener.getsockname()[:2]
    started = start_seconds(pid)
    address = Address(pid=pid, host=host, port=port, workers=workers, started_seconds=started)
    part = file.with_suffix(".part")
    part.write_text(address.model_dump_json(), encoding="utf-8")
    failpoint("server.before-rename")
    part.replace(file)
    failpoint("server.after-rename")


def read(file: Path) -> Address | None:
    """Return where the server that wrote a file listens; None if it is not running."""
    try:
        address = Address.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
    return address if _is_server(address) else None


def public_address(folder: Path) -> Address | None:
    """Return where people reach the model of a server's folder; None if it is not served."""
    return read(folder / FRONT) or read(folder / SERVER)


def _is_server(address: Address) -> bool:
    """Return whether the process is that server, and not another one with the same number."""
    try:
        process = psutil.Process(address.pid)
        is_same = address.started_seconds in {0, start_seconds(address.pid)}
        is_running = process.status() != psutil.STATUS_ZOMBIE
        return is_same and is_running and MODULE in process.cmdline()
    except psutil.Error:
        return False
