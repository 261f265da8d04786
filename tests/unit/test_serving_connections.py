"""Connections end: those of a worker that ends, and those whose clients let a server wait."""

import asyncio
import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from starlette.exceptions import HTTPException

from slipway.serving import middleware, supervisor
from slipway.system import connections
from tests.support.model_servers import wait_until
from tests.support.network import free_port

GRACEFUL = "slipway.serving.supervisor:GracefulKeepAlive"


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer once the body is there; ``/endless`` sends until the client has left."""
    while (await receive()).get("more_body"):
        pass
    if scope["path"] == "/endless":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        leaving = asyncio.ensure_future(receive())
        while not leaving.done():
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            await asyncio.sleep(0)
        return
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
    wait_until(lambda: not any(each.is_serving() for each in server.servers), 30)
    time.sleep(0.2)


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


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let connections wait for a second and a half."""
    monkeypatch.setattr(connections, "_CHECK_SECONDS", 0.05)
    for duty in connections.SECONDS:
        monkeypatch.setitem(connections.SECONDS, duty, 1.5)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("sent", "then"),
    [
        pytest.param(b"", b"", id="silent"),
        pytest.param(b"GET / HTTP/1.1\r\n", b"", id="half a head"),
        pytest.param(b"GET / HTTP/1.1\r\nx: ", b"y", id="a head byte by byte"),
        pytest.param(
            b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n", b"y", id="a body"
        ),
        pytest.param(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"", id="silent after an answer"),
        pytest.param(b"GET / HTTP/1.1\r\nhost: x\r\n\r\nG", b"E", id="slow after an answer"),
    ],
)
def test_a_client_that_lets_the_server_wait_is_cut_off(sent: bytes, then: bytes) -> None:
    """After its time, however regularly it sends a byte; meanwhile others are answered."""
    with serving(GRACEFUL) as (server, kept):
        open_ones = server.server_state.connections
        with socket.create_connection(kept.sock.getpeername()) as slow:  # type: ignore[union-attr]
            slow.sendall(sent)
            while len(open_ones) < 2:
                time.sleep(0.01)
            until = time.monotonic() + 15
            while len(open_ones) == 2:
                assert time.monotonic() < until, "the connection is still open"
                assert ask(kept).status == 200
                with contextlib.suppress(OSError):
                    slow.sendall(then)
                time.sleep(0.1)


@pytest.mark.usefixtures("impatient")
def test_a_client_that_reads_nothing_is_cut_off() -> None:
    """Its answer ends, and the memory for it is free."""
    with serving(GRACEFUL) as (server, kept), socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(kept.sock.getpeername())  # type: ignore[union-attr]
        deaf.sendall(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n")
        until = time.monotonic() + 15
        while not server.server_state.tasks:
            time.sleep(0.01)
        while server.server_state.tasks:
            assert time.monotonic() < until, "the answer goes on"
            assert ask(kept).status == 200
            time.sleep(0.1)


@pytest.mark.usefixtures("impatient")
def test_a_client_that_reads_slowly_or_asks_often_is_not_cut_off() -> None:
    """What counts is how long the server waits, and not how long the connection is open."""
    with serving(GRACEFUL) as (_server, kept):
        until = time.monotonic() + 4
        while time.monotonic() < until:
            assert ask(kept).status == 200
            time.sleep(0.1)
        with socket.create_connection(kept.sock.getpeername()) as slow:  # type: ignore[union-attr]
            slow.sendall(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n")
            until = time.monotonic() + 4
            while time.monotonic() < until:
                assert slow.recv(1 << 20)


def test_too_many_connections_cost_the_one_that_waited_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And not the request that comes last."""
    monkeypatch.setattr(connections, "CONNECTIONS", 20)
    with serving(GRACEFUL) as (server, kept), contextlib.ExitStack() as silent:
        peer = kept.sock.getpeername()  # type: ignore[union-attr]
        sockets = [silent.enter_context(socket.create_connection(peer)) for _ in range(100)]
        late = http.client.HTTPConnection(*peer, timeout=5)
        late.connect()

        assert ask(late).status == 200
        assert len(server.server_state.connections) <= 20
        sockets[0].settimeout(5)
        with contextlib.suppress(ConnectionResetError):
            assert sockets[0].recv(1) == b""
        late.close()


def test_a_body_that_does_not_come_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 408, while the body is awaited; after it, the client's leave is awaited without end."""
    monkeypatch.setattr(middleware, "BODY_SECONDS", 0.2)
    sent = [{"type": "http.request", "body": b"{}", "more_body": False}]

    async def arriving() -> Any:
        await asyncio.sleep(0 if sent else 0.4)
        return sent.pop() if sent else {"type": "http.disconnect"}

    async def receive_twice() -> list[str]:
        receive = middleware._limited(arriving)
        return [(await receive())["type"] for _ in range(2)]

    assert asyncio.run(receive_twice()) == ["http.request", "http.disconnect"]
    with pytest.raises(HTTPException) as refused:
        asyncio.run(receive_twice())
    assert refused.value.status_code == 408
