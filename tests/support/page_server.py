"""A server of the chat page whose model says what a test lets it say, and which requires a key."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

from slipway.serving.page import page

KEY = "the-key"
#: A model's text that would do harm as HTML.
HTML = "<img src=x onerror=\"document.title='harmed'\"><b>bold</b>"


class _Handler(BaseHTTPRequestHandler):
    """Answers with ``HTML``, and then with pieces without end; two turns are too many for it."""

    left: Event

    def do_GET(self) -> None:
        """Serve the page to everybody, and what it asks for to those with a key."""
        if self.path == "/":
            served = page()
            self.send_response(200)
            for name, value in served.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(bytes(served.body))
        elif self._is_allowed():
            tiny = {"id": "tiny", "version": 1, "digest": "0123456789abcdef"}
            other = {"id": "other", "version": 2, "digest": "fedcba9876543210"}
            self._write([] if self.path == "/beside" else {"data": [tiny, other]})

    def do_POST(self) -> None:
        """Stream until the client leaves."""
        length = int(self.headers["Content-Length"])
        asked = json.loads(self.rfile.read(length))
        if not self._is_allowed():
            return
        if len(asked["messages"]) > 1:
            self._write({"error": {"message": "one turn is enough"}}, status=400)
            return
        self.send_response(200)
        self.end_headers()
        try:
            self._stream(HTML)
            while True:
                self._stream(" and on")
                time.sleep(0.02)
        except OSError:
            self.left.set()

    def _stream(self, text: str) -> None:
        chunk = {"choices": [{"delta": {"content": text}, "finish_reason": None}]}
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.flush()

    def _is_allowed(self) -> bool:
        allowed = self.headers["Authorization"] == f"Bearer {KEY}"
        if not allowed:
            self._write({"error": {"message": "a key is required"}}, status=401)
        return allowed

    def _write(self, document: object, status: int = 200) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as inherited
        """Print nothing."""


@contextmanager
def serving() -> Iterator[tuple[str, Event]]:
    """Run such a server; give its address, and what is set when a client leaves an answer."""
    left = Event()
    handler = type("Handler", (_Handler,), {"left": left})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", left
        server.shutdown()
