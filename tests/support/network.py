"""Servers of tests on loopback: free ports, and ends that nobody waits for."""

import asyncio
import secrets
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import uvicorn

_POLL_SECONDS = 0.005  # both servers would look every 0.1 to 0.5 s whether they are to end


#: Linux gives those from 32768 on to clients, and to whoever asks for any port: another test could
#: get one before the server for which it was chosen listens.
_PORTS = range(20_000, 32_000)
_GIVEN = set[int]()


def free_port() -> int:
    """Return a port of the loopback interface on which nothing listens, each one once."""
    while True:
        port = _PORTS[secrets.randbelow(len(_PORTS))]
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _GIVEN:
                _GIVEN.add(port)
                return port


@contextmanager
def forwarded(host: str, port: int) -> Iterator[int]:
    """Pass connections to a free port on to another address, as a published port does."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((host, port)) as other:
                back = threading.Thread(target=_pass_on, args=(other, self.request), daemon=True)
                back.start()
                _pass_on(self.request, other)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def http_server(handler: type[BaseHTTPRequestHandler]) -> Iterator[ThreadingHTTPServer]:
    """Run a server on a free port while the body runs."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class PromptServer(uvicorn.Server):
    """Ends as soon as ``should_exit`` is set: connections are dropped, requests are cancelled."""

    async def main_loop(self) -> None:
        """Wait for the end."""
        await self.on_tick(0)  # makes the headers that each answer has
        while not self.should_exit:  # noqa: ASYNC110 - uvicorn has a flag
            await asyncio.sleep(_POLL_SECONDS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End everything that is open."""
        for listening in (*self.servers, *(sockets or ())):
            listening.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()  # before the tasks end: uvicorn would answer 500 for them
        tasks = set(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.lifespan.shutdown()
