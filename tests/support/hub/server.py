"""A small HTTP server: takes requests, sends the parts of their answers, keeps a log."""

import socket
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from tests.support.hub.faults import Faults
from tests.support.hub.messages import (
    FileSlice,
    HangUp,
    Head,
    Part,
    Pause,
    Request,
    Reset,
    parse_form,
)
from tests.support.hub.routes import Routes
from tests.support.hub.store import Store

HOST = "127.0.0.1"
STOP_POLL_SECONDS = 0.02
DROP_AT_CLOSE = struct.pack("ii", 1, 0)  # linger on, for 0 seconds: close() resets the connection


@dataclass(frozen=True, slots=True)
class Asked:
    """One request in the log.

    Attributes:
        method: ``GET``, ``HEAD`` or ``POST``.
        path: Decoded, without the query.
        query: Values by name.
        span: The ``Range`` header; None asked for the whole.
        signed_in: Whether a bearer token came along. The token itself is not kept.
        status: HTTP status of the answer; None when a fault dropped the connection instead.
    """

    method: str
    path: str
    query: dict[str, list[str]]
    span: str | None
    signed_in: bool
    status: int | None


class RunningHub:
    """A Hub that can be reached.

    Args:
        store: What is served.
        port: Where, on loopback.
        page_size: Entries on one page of a tree or a history.

    Attributes:
        endpoint: Its address, to hand to ``HfApi(endpoint=...)``.
        faults: What is ordered to go wrong.
    """

    def __init__(self, store: Store, port: int, page_size: int) -> None:
        self.endpoint = f"http://{HOST}:{port}"
        self.faults = Faults()
        self._routes = Routes(store, self.endpoint, page_size)
        self._log: list[Asked] = []

    @property
    def requests(self) -> tuple[Asked, ...]:
        """What was asked so far, in order of the answers."""
        return tuple(self._log)

    def answer(self, request: Request) -> tuple[Part, ...]:
        """Return what to send for ``request``, and log it before the client can know the answer."""
        parts = self.faults.parts(request, self._routes.answer(request))
        status = next((part.status for part in parts if isinstance(part, Head)), None)
        signed_in = request.token is not None
        query = dict(request.query)
        asked = Asked(request.method, request.path, query, request.span, signed_in, status)
        self._log.append(asked)
        return parts


class HubServer(ThreadingHTTPServer):
    """Listens on loopback; knows its connections, so that all of them end when it stops."""

    request_queue_size = 128

    def __init__(self, store: Store, port: int, page_size: int) -> None:
        super().__init__((HOST, port), HubHandler)
        self.hub = RunningHub(store, self.server_address[1], page_size)
        self.stopping = threading.Event()
        self._connections: set[socket.socket] = set()

    def server_bind(self) -> None:
        """Bind without asking a name server for this machine's name, which may take seconds."""
        TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, and serve it in a thread of its own."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection, and close it."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report what went wrong here; a client that hung up is no news."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def stop(self) -> None:
        """Stop listening, and end every connection: a kept one would be served for ever."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        for connection in self._connections.copy():
            with suppress(OSError):  # the other side may be faster
                connection.shutdown(socket.SHUT_RDWR)


class HubHandler(BaseHTTPRequestHandler):
    """Reads requests from one connection and sends their answers."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes; the second must not wait
    server: HubServer

    def _answer(self) -> None:
        parts = self.server.hub.answer(self._request())
        for part in parts:
            self._send(part)

    do_GET = do_HEAD = do_POST = _answer  # noqa: N815 (the names that http.server calls)

    def _request(self) -> Request:
        target, _, query = self.path.partition("?")
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        form = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        return Request(
            method=self.command,
            target=target,
            query=parse_form(query),
            span=self.headers.get("Range"),
            token=token if scheme == "Bearer" else None,
            form=parse_form(form),
        )

    def _send(self, part: Part) -> None:
        match part:
            case Head():
                self._send_head(part)
            case Pause():
                self._pause(part)
            case HangUp():
                self.close_connection = True
            case Reset():
                self._reset()
            case _ if self.command == "HEAD":
                pass
            case FileSlice():
                self._send_file(part)
            case bytes():
                self.wfile.write(part)

    def _send_head(self, head: Head) -> None:
        self.send_response(head.status)
        for name, value in head.headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send_file(self, part: FileSlice) -> None:
        if not len(part):
            return
        with part.path.open("rb") as stream:
            sent = self.connection.sendfile(stream, part.start, len(part))
        if sent < len(part):
            # The file shrank after its size was promised: only hanging up can tell the client.
            self.close_connection = True

    def _pause(self, part: Pause) -> None:
        if self.server.stopping.wait(part.seconds):
            raise ConnectionAbortedError  # a Hub that stops sends no more, least of all sooner

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, DROP_AT_CLOSE)
        self.wfile.close()
        self.rfile.close()
        self.connection.close()
        raise ConnectionResetError

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (http.server's name)
        """Write nothing: the log is :attr:`RunningHub.requests`."""


@contextmanager
def serve(store: Store, port: int, page_size: int) -> Iterator[RunningHub]:
    """Serve ``store`` on loopback for as long as the context lasts.

    Args:
        store: What is served.
        port: Where; 0 takes a free port.
        page_size: Entries on one page of a tree or a history.
    """
    server = HubServer(store, port, page_size)
    thread = threading.Thread(target=server.serve_forever, args=(STOP_POLL_SECONDS,), daemon=True)
    thread.start()
    try:
        yield server.hub
    finally:
        server.stop()
        thread.join()
