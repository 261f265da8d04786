"""Addresses on this machine, against real sockets."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from slipway.errors import Unreachable
from slipway.system.network import answers, host_and_port, is_taken, wait_until_answers
from tests.support.network import free_port


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
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "answer"), [(200, True), (401, True), (403, True), (404, False), (503, False)]
)
def test_a_refusal_is_an_answer_and_an_error_is_none(
    url: str, status: int, *, answer: bool
) -> None:
    """A server that asks for a password runs; one that is still starting says 503."""
    assert answers(f"{url}/{status}") is answer


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
