"""Graceful shutdown of keep-alive connections."""

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn

from slipway.serving import supervisor
from tests.support.network import free_port

GRACEFUL = "slipway.serving.supervisor:GracefulKeepAlive"


async def application(_scope: Any, _receive: Any, send: Any) -> None:
    """Answer anything."""
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


@contextmanager
def serving(protocol: str) -> Iterator[tuple[uvicorn.Server, http.client.HTTPConnection]]:
    """Run a server, and yield it with a connection over which it has answered once."""
    port = free_port()
    config = uvicorn.Config(
        application, port=port, http=protocol, lifespan="off", log_level="error"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    kept = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        assert ask(kept).getheader("connection") is None
        yield server, kept
    finally:
        server.should_exit = True
        kept.close()
        thread.join(20)


def ask(kept: http.client.HTTPConnection) -> http.client.HTTPResponse:
    """Send a request over this connection and no other."""
    kept.auto_open = 0
    if kept.sock is None:
        kept.connect()
    kept.request("GET", "/")
    reply = kept.getresponse()
    assert reply.read() == b"ok"
    return reply


def end(server: uvicorn.Server) -> None:
    """Ask the server to end, and wait until its shutdown has begun."""
    server.should_exit = True
    time.sleep(0.5)


def test_a_worker_that_ends_answers_a_request_over_a_keep_alive_connection() -> None:
    """With ``Connection: close``."""
    with serving(GRACEFUL) as (server, kept):
        end(server)

        assert ask(kept).getheader("connection") == "close"


def test_without_graceful_keep_alive_the_request_is_lost() -> None:
    """So the test above can fail: uvicorn's own connection is closed by then."""
    with serving("h11") as (server, kept):
        end(server)

        with pytest.raises((OSError, http.client.HTTPException)):
            ask(kept)


def test_an_idle_connection_is_closed_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that a client cannot hold the worker for ever."""
    monkeypatch.setattr(supervisor, "LINGER_SECONDS", 0.2)

    with serving(GRACEFUL) as (server, kept):
        end(server)

        assert kept.sock is not None
        assert kept.sock.recv(1) == b""
