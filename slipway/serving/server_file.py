"""``server.json`` and ``front.json`` in the folder of a model's server: where it is reached.

The first says where the model's own server listens. If one address has several models, the second
says where that is. Each is there while its process listens.
"""

import json
import socket
from pathlib import Path
from typing import Any

import psutil

from slipway.system.failpoints import failpoint
from slipway.system.network import host_in_url

SERVER, FRONT = "server.json", "front.json"


def write(file: Path, pid: int, listener: socket.socket, workers: int) -> None:
    """Write where a process listens.

    Args:
        file: Replaced atomically.
        pid: The process.
        listener: Its bound socket.
        workers: Number of workers of a model.
    """
    host, port = listener.getsockname()[:2]
    server = {"pid": pid, "host": host, "port": port, "workers": workers}
    part = file.with_suffix(".part")
    part.write_text(json.dumps(server), encoding="utf-8")
    failpoint("server.before-rename")
    part.replace(file)
    failpoint("server.after-rename")


def read(file: Path) -> dict[str, Any] | None:
    """Return what ``write`` wrote; None if its process is not running."""
    try:
        server: dict[str, Any] = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return server if psutil.pid_exists(server["pid"]) else None


def url(file: Path) -> str | None:
    """Return the address of a server on this machine; None if its process is not running."""
    server = read(file)
    return f"http://{host_in_url(server['host'])}:{server['port']}" if server else None


def public_url(folder: Path) -> str | None:
    """Return the address at which people reach the model of a server's folder."""
    return url(folder / FRONT) or url(folder / SERVER)
