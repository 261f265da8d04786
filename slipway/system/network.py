"""Addresses on this machine: which port is free, and when something answers there."""

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

from slipway.errors import Unreachable

_POLL_SECONDS = 0.3


def free_port() -> int:
    """Return a port of the loopback interface that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def host_and_port(url: str) -> tuple[str, int]:
    """Return where to connect to for ``url``."""
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or (443 if parts.scheme == "https" else 80)


def is_taken(url: str) -> bool:
    """Tell whether something listens at the address of ``url``."""
    try:
        socket.create_connection(host_and_port(url), timeout=2).close()
    except OSError:
        return False
    return True


def answers(url: str) -> bool:
    """Tell whether a server answers at ``url``; that it refuses strangers is an answer too."""
    try:
        urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 - an address of our settings
    except urllib.error.HTTPError as error:
        return error.code in {401, 403}
    except OSError:
        return False
    return True


def wait_until_answers(
    server: str, url: str, is_alive: Callable[[], bool], *, timeout_seconds: float = 180
) -> None:
    """Wait for a server that is starting.

    Args:
        server: Its name, for the error.
        url: Answers once the server is ready.
        is_alive: Tells whether the server's process is still running.
        timeout_seconds: Longest wait.

    Raises:
        Unreachable: If its process ended, or the time is over.
    """
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        if answers(url):
            return
        if not is_alive():
            raise Unreachable(server, url, "it ended while it was starting")
        time.sleep(_POLL_SECONDS)
    raise Unreachable(server, url, f"not within {timeout_seconds:.0f} s")
