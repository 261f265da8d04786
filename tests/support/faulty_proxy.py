"""A proxy before a server, which answers some paths with a fault of your choice."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import httpx

from tests.support.network import http_server

_HOP = {"connection", "content-length", "content-encoding", "host", "transfer-encoding"}


@contextmanager
def faulty_proxy(server: str, path: str, fault: int | None) -> Iterator[tuple[str, list[str]]]:
    """Run a proxy before ``server``; give its address and the paths that it answered with a fault.

    Args:
        server: Address of the server, without a path.
        path: Paths that begin with this are not passed on.
        fault: The status that they get; None to close the connection without an answer.
    """
    faults: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path.startswith(path):
                faults.append(self.path)
                self.close_connection = True
                if fault:
                    self._reply(fault, {}, b"out of order")
                return
            headers = {
                name: text for name, text in self.headers.items() if name.lower() not in _HOP
            }
            got = client.request(self.command, self.path, content=body, headers=headers)
            passed = {name: text for name, text in got.headers.items() if name not in _HOP}
            self._reply(got.status_code, passed, got.content)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _answer  # noqa: N815 - their names there

        def _reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, text in headers.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *_arguments: object) -> None:  # noqa: A002
            pass

    with (
        httpx.Client(base_url=server, timeout=60) as client,
        http_server(Handler) as proxy,
    ):
        yield f"http://127.0.0.1:{proxy.server_port}", faults


def _passed_on(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name: text for name, text in headers if name.lower() not in _HOP}
