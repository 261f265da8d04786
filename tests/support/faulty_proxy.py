"""A proxy before a server: it answers some requests with a fault, or loses the server's answers."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import httpx

from tests.support.network import http_server

_HOP = {"connection", "content-length", "content-encoding", "host", "transfer-encoding"}

#: Of a request: method, path and body.
Asked = tuple[str, str, bytes]


@contextmanager
def faulty_proxy(server: str, path: str, fault: int | None) -> Iterator[tuple[str, list[str]]]:
    """Run a proxy before ``server``; give its address and the paths that it answered with a fault.

    Args:
        server: Address of the server, without a path.
        path: Paths that begin with this are not passed on.
        fault: The status that they get; None to close the connection without an answer.
    """
    faults: list[str] = []

    def answer(asked: Asked, pass_on: Callable[[], httpx.Response]) -> httpx.Response | None:
        if not asked[1].startswith(path):
            return pass_on()
        faults.append(asked[1])
        return httpx.Response(fault, content=b"out of order") if fault else None

    with _proxy(server, answer) as address:
        yield address, faults


@contextmanager
def losing_proxy(server: str, times: int) -> Iterator[tuple[str, Counter[str]]]:
    """Run a proxy that passes every changing request on, and loses its first answers.

    A model cannot become the output of a run twice: of these requests, one alone loses its answers.

    Args:
        server: Address of the server, without a path.
        times: How many answers to the same request are lost before one arrives.

    Yields:
        Its address, and how many answers were lost by the path of their request.
    """
    asked_before: Counter[str] = Counter()
    lost: Counter[str] = Counter()

    def answer(asked: Asked, pass_on: Callable[[], httpx.Response]) -> httpx.Response | None:
        method, path, body = asked
        answered = pass_on()
        if method == "GET" or path.endswith("/search"):
            return answered
        request = hashlib.sha256(f"{method} {path} ".encode() + body).hexdigest()
        asked_before[request] += 1
        spared = path.endswith("/outputs") and lost[path] >= times
        if spared or asked_before[request] % (times + 1) == 0:
            return answered
        lost[path] += 1
        return None

    with _proxy(server, answer) as address:
        yield address, lost


@contextmanager
def _proxy(
    server: str,
    answer: Callable[[Asked, Callable[[], httpx.Response]], httpx.Response | None],
) -> Iterator[str]:
    """Run a proxy and give its address; without an answer, it closes the connection.

    Args:
        server: Where requests are passed on to.
        answer: Returns the answer to a request, given what passes it on.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {
                name: text for name, text in self.headers.items() if name.lower() not in _HOP
            }

            def pass_on() -> httpx.Response:
                return client.request(self.command, self.path, content=body, headers=headers)

            got = answer((self.command, self.path, body), pass_on)
            if got is None:
                self.close_connection = True
            else:
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
        yield f"http://127.0.0.1:{proxy.server_port}"
