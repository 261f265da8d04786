"""Servers of tests on loopback: free ports, and ends that nobody waits for."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import uvicorn

_POLL_SECONDS = 0.005  # both servers would look every 0.1 to 0.5 s whether they are to end


def free_port() -> int:
    """Return a port of the loopback interface on which nothing listens at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
