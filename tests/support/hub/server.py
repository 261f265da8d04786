"""Sends the answers of a Hub, or what a fault makes of them, and logs the requests."""

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from tests.support.hub.faults import Answer, Faults
from tests.support.network import PromptServer

HOST = "127.0.0.1"
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, for 0 seconds
_POLL_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request in the log.

    Attributes:
        method: ``GET`` or ``HEAD``.
        path: Decoded, without the query.
        query: Values by name.
        span: The ``Range`` header; None asks for the whole file.
        token: The bearer token that came along; None for none.
        status: HTTP status of the answer; None if a fault dropped the connection instead.
    """

    method: str
    path: str
    query: dict[str, list[str]]
    span: str | None
    token: str | None
    status: int | None


class RunningHub:
    """A Hub that can be reached: an ASGI application around the one that answers.

    Args:
        app: Answers the requests.
        address: Where it listens.

    Attributes:
        endpoint: The address, for ``HfApi(endpoint=...)``.
        faults: What is to go wrong.
    """

    def __init__(self, app: Starlette, address: tuple[str, int]) -> None:
        host, port = address
        self.endpoint = f"http://{host}:{port}"
        self.faults = Faults()
        self._app = app
        self._log: list[LoggedRequest] = []

    @property
    def requests(self) -> tuple[LoggedRequest, ...]:
        """The requests so far, in the order of their answers."""
        return tuple(self._log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. It is in the log before the client can know the answer."""
        request = Request(scope)
        fault = self.faults.take(request.method, scope["path"])
        if fault is None:
            await self._app(scope, receive, self._logging(request, send))
            return
        answer = await self._record(scope, receive)
        spoiled = await asyncio.to_thread(fault, answer)  # a fault may push, which takes time
        self._note(request, spoiled.logged_status)
        await _deliver(spoiled, receive, send)

    def _logging(self, request: Request, send: Send) -> Send:
        async def logged(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._note(request, message["status"])
            await send(message)

        return logged

    async def _record(self, scope: Scope, receive: Receive) -> Answer:
        messages: list[Message] = []

        async def record(message: Message) -> None:
            messages.append(message)

        await self._app(scope, receive, record)
        start, *parts = messages
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        return Answer(start["status"], headers, b"".join(part["body"] for part in parts))

    def _note(self, request: Request, status: int | None) -> None:
        query = {name: request.query_params.getlist(name) for name in request.query_params}
        token = request.headers.get("Authorization", "").removeprefix("Bearer ") or None
        span, path = request.headers.get("Range"), request.scope["path"]
        self._log.append(LoggedRequest(request.method, path, query, span, token, status))


async def _deliver(answer: Answer, receive: Receive, send: Send) -> None:
    """Send ``answer`` with its interruption."""
    headers = {"content-length": str(len(answer.body)), **answer.headers}
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    start = {"type": "http.response.start", "status": answer.status, "headers": encoded}
    before, after = b"", answer.body
    if answer.interrupted_at is not None:
        before, after = after[: answer.interrupted_at], after[answer.interrupted_at :]
        await send(start)
        await send({"type": "http.response.body", "body": before, "more_body": True})
    await _interrupt(answer, receive, send)
    if answer.dropped:
        return
    if answer.interrupted_at is None:
        await send(start)
    await send({"type": "http.response.body", "body": after})


async def _interrupt(answer: Answer, receive: Receive, send: Send) -> None:
    """Wait, or end the connection, which ASGI has no message for."""
    transport: asyncio.Transport = cast("Any", send).__self__.transport
    try:
        await asyncio.sleep(answer.pause_seconds)
    except asyncio.CancelledError:
        transport.abort()  # the Hub stops: nothing that was held back is sent
        raise
    if answer.dropped is None:
        return
    if answer.dropped == "reset":
        while transport.get_write_buffer_size():  # noqa: ASYNC110 (asyncio has no event for it)
            await asyncio.sleep(_POLL_SECONDS)
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        transport.abort()
    transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass


@contextmanager
def serve(app: Starlette, host: str) -> Iterator[RunningHub]:
    """Serve ``app`` on a free port of ``host``, in a thread, for as long as the context lasts."""
    listener = socket.create_server((host, 0))
    running = RunningHub(app, listener.getsockname()[:2])
    config = uvicorn.Config(
        running,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
    )
    server = PromptServer(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        while not server.started:
            time.sleep(_POLL_SECONDS)
        yield running
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
