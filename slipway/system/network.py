"""Addresses on this machine: whether a port is free, and whether a server answers there."""

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

from slipway.errors import Unreachable

LOOPBACK = "127.0.0.1"

_POLL_SECONDS = 0.3


def host_and_port(url: str) -> tuple[str, int]:
    """Return the host and the port of ``url``, by default those of its scheme."""
    parts = urlsplit(url)
    return parts.hostname or LOOPBACK, parts.port or (443 if parts.scheme == "https" else 80)


def is_taken(url: str) -> bool:
    """Tell whether something listens at the address of ``url``."""
    try:
        socket.create_connection(host_and_port(url), timeout=2).close()
    except OSError:
        return False
    return True


def answers(url: str) -> bool:
    """Tell whether a server answers at ``url``; a demand for a password is an answer too."""
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
        server: Name of the server, for the error.
        url: Answers once the server is ready.
        is_alive: Tells whether the server's process is still running.
        timeout_seconds: Longest wait.

    Raises:
        Unreachable: If the process ended, or the server is not ready in time.
    """
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        if answers(url):
            return
        if not is_alive():
            raise Unreachable(server, url, "its process ended while starting")
        time.sleep(_POLL_SECONDS)
    raise Unreachable(server, url, f"no answer within {timeout_seconds:.0f} s")
