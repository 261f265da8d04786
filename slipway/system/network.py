"""Addresses on this machine: whether a port is free, and whether a server answers there."""

import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection
from http.client import HTTPException
from ipaddress import ip_address
from urllib.parse import urlsplit

from slipway.errors import Unreachable
from slipway.settings import LOOPBACK_NAMES, Settings

LOOPBACK = LOOPBACK_NAMES[0]

_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+?)\.?(:\d{1,5})?", re.IGNORECASE)

_POLL_SECONDS = 0.3
_PREFECT_CLOUD = "https://api.prefect.cloud/"
_SIGN_IN = frozenset({401, 403})  # a server that demands a password


def host_and_port(url: str) -> tuple[str, int]:
    """Return the host and the port of ``url``, by default those of its scheme."""
    parts = urlsplit(url)
    return parts.hostname or LOOPBACK, parts.port or (443 if parts.scheme == "https" else 80)


def hosts_of(settings: Settings, part: str) -> frozenset[str]:
    """Return the host names that requests to a part may have: wherever it is found or listens.

    Args:
        settings: They name its addresses.
        part: Its name in the settings, such as ``mlflow`` of ``mlflow_url``.
    """
    return allowed_hosts(settings.found_at(part), settings.more_names(part))


def allowed_hosts(address: str, names: str = "") -> frozenset[str]:
    """Return the host names that requests to a server may have: loopback's, its own, and others.

    Args:
        address: The server's URL or host.
        names: Further names, separated by commas.
    """
    own = urlsplit(address if "//" in address else f"//{address}").hostname
    return listed(names).union(LOOPBACK_NAMES, {own} if own else ())


def is_allowed_host(header: str, allowed: Collection[str]) -> bool:
    """Tell whether a request's ``Host`` header names one of ``allowed``, at whatever port.

    A web page reaches servers of this machine under a name of its own that it points at loopback
    (DNS rebinding). Its requests have that name in ``Host``; no page can change that.
    """
    found = _HOST.fullmatch(header)
    return found is not None and found["name"].strip("[]").lower() in allowed


def is_own_origin(origin: str, host: str, names: str = "") -> bool:
    """Tell whether a page of this server, or a client that is no browser, sent a request.

    Args:
        origin: The ``Origin`` header; empty if there is none.
        host: The ``Host`` header, an allowed one.
        names: Names of proxies that send another ``Host`` than the browser, separated by commas.
    """
    scheme, _, name = origin.lower().partition("://")
    is_page = scheme in {"http", "https"} and (
        name == host.lower() or is_allowed_host(name, listed(names))
    )
    return not origin or is_page


def listed(names: str) -> frozenset[str]:
    """Return names that are separated by commas, in lower case."""
    return frozenset(name.strip().lower() for name in names.split(",") if name.strip())


def host_in_url(host: str) -> str:
    """Return how a URL has the host at which clients of this machine reach a server.

    A server that listens at every address is reached at loopback's.
    """
    name = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"[{name}]" if ":" in name else name


def is_loopback(host: str) -> bool:
    """Tell whether nothing but this machine can reach ``host``."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
        return error.code in _SIGN_IN
    except (OSError, HTTPException):  # the latter: what answers does not speak HTTP
        return False
    return True


def require_prefect(api: str) -> None:
    """Ask a Prefect API once whether it is well, since Prefect's client would try for minutes.

    A refused sign-in is an answer here. Prefect Cloud has no such address and is not asked.

    Raises:
        Unreachable: If no Prefect server answers there.
    """
    if api.startswith(_PREFECT_CLOUD):
        return
    try:
        with urllib.request.urlopen(f"{api.rstrip('/')}/health", timeout=20) as answer:  # noqa: S310
            is_prefect = answer.read(16).strip() == b"true"
    except urllib.error.HTTPError as error:
        if error.code in _SIGN_IN:
            return
        raise Unreachable("Prefect", api, f"status {error.code}") from error
    except (OSError, HTTPException, ValueError) as error:
        raise Unreachable("Prefect", api, str(getattr(error, "reason", error))) from error
    if not is_prefect:
        raise Unreachable("Prefect", api, "no Prefect API; its address ends with /api")


def wait_until_answers(
    server: str, url: str, is_alive: Callable[[], bool], *, timeout_seconds: float = 180
) -> None:
    """Wait for a server that is starting.

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
