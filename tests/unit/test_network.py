"""Addresses on this machine, against real sockets."""

import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from slipway.errors import Unreachable
from slipway.system.network import (
    allowed_hosts,
    answers,
    host_and_port,
    is_allowed_host,
    is_loopback,
    is_own_origin,
    is_taken,
    wait_until_answers,
)
from tests.support.network import free_port, http_server


class Handler(BaseHTTPRequestHandler):
    """Answers with the status that its path names."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(int(self.path[1:]))
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    """Return the address of a server."""
    with http_server(Handler) as server:
        yield f"http://127.0.0.1:{server.server_port}"


@pytest.mark.parametrize(
    ("status", "answer"), [(200, True), (401, True), (403, True), (404, False), (503, False)]
)
def test_a_refusal_is_an_answer_and_an_error_is_none(
    url: str, status: int, *, answer: bool
) -> None:
    """A server that asks for a password runs; one that is still starting says 503."""
    assert answers(f"{url}/{status}") is answer


def test_what_does_not_speak_http_is_no_answer() -> None:
    """The port may be another program's, such as a mail server's."""

    class Mail(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.wfile.write(b"220 mail.example.org\r\n")

    with http_server(Mail) as server:
        assert not answers(f"http://127.0.0.1:{server.server_port}/health")


def test_a_port_is_taken_while_something_listens() -> None:
    """And free before and after."""
    url = f"http://127.0.0.1:{free_port()}"
    assert not is_taken(url)

    with socket.create_server(host_and_port(url)):
        assert is_taken(url)


def test_a_server_that_ended_is_not_waited_for() -> None:
    """The error names it, and what to do."""
    url = f"http://127.0.0.1:{free_port()}"

    with pytest.raises(Unreachable, match="its process ended while starting"):
        wait_until_answers("the server", url, lambda: False)


def test_the_wait_has_an_end() -> None:
    """A server that runs and never answers is given up."""
    url = f"http://127.0.0.1:{free_port()}"

    with pytest.raises(Unreachable, match="no answer within 1 s"):
        wait_until_answers("the server", url, lambda: True, timeout_seconds=0.6)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://127.0.0.1:4200", ("127.0.0.1", 4200)),
        ("http://prefect:4200/api", ("prefect", 4200)),
        ("https://models.acme.example", ("models.acme.example", 443)),
        ("http://localhost", ("localhost", 80)),
    ],
)
def test_an_address_names_host_and_port(url: str, place: tuple[str, int]) -> None:
    """With the scheme's own port where none is named."""
    assert host_and_port(url) == place


@pytest.mark.parametrize(
    ("header", "is_allowed"),
    [
        ("127.0.0.1:8080", True),
        ("LocalHost", True),
        ("localhost.:8080", True),
        ("[::1]:8080", True),
        ("model-server:8080", True),
        ("models.acme.example", True),
        ("evil.example:8080", False),
        ("127.0.0.1.evil.example", False),
        ("user@127.0.0.1", False),
        ("127.0.0.1/", False),
        ("127.0.0.1:8080:80", False),
        ("127.0.0.1 evil.example", False),
        ("127.0.0.1\n", False),
        ("[::1", False),
        ("", False),
    ],
)
def test_a_host_header_names_a_known_host(header: str, *, is_allowed: bool) -> None:
    """Loopback, the configured address, or a listed name; a page's own name is none of them."""
    allowed = allowed_hosts("http://model-server:8080", " models.acme.example, ")

    assert is_allowed_host(header, allowed) is is_allowed


@pytest.mark.parametrize(
    ("origin", "own"),
    [
        ("", True),  # not a browser
        ("http://127.0.0.1:4200", True),
        ("https://127.0.0.1:4200", True),
        ("https://slipway.acme.example", True),
        ("http://evil.example", False),
        ("http://127.0.0.1:8888", False),
        ("http://localhost:8888", False),
        ("http://127.0.0.1:4200.evil.example", False),
        ("null", False),
        ("file://127.0.0.1:4200", False),
    ],
)
def test_a_page_of_another_server_is_no_page_of_ours(origin: str, *, own: bool) -> None:
    """Another port of this machine is another server."""
    assert is_own_origin(origin, "127.0.0.1:4200", "slipway.acme.example") is own


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104 - told, not bound
        ("server", False),
    ],
)
def test_loopback_is_told_from_other_addresses(host: str, *, loopback: bool) -> None:
    """All interfaces are more than loopback."""
    assert is_loopback(host) is loopback
