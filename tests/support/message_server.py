"""A server that takes what is posted to it, as a chat program takes messages."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class MessageServer:
    """What was posted.

    Attributes:
        url: Where to post.
        letters: Every document, in order.
    """

    url: str
    letters: list[Any] = field(default_factory=list)


@contextmanager
def letterbox() -> Iterator[MessageServer]:
    """Take letters on a free port of loopback for as long as the context lasts."""

    class Slot(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            box.letters.append(json.loads(self.rfile.read(length)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its own name)
            """Write nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Slot) as server:
        box = MessageServer(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield box
        finally:
            server.shutdown()
            thread.join()
