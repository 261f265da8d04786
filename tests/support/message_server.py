"""A server that records the messages posted to it, as a chat program would."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.network import http_server


@dataclass(frozen=True)
class MessageServer:
    """The posted messages.

    Attributes:
        url: Where to post.
        messages: Every document, in order.
    """

    url: str
    messages: list[Any] = field(default_factory=list)


@contextmanager
def message_server() -> Iterator[MessageServer]:
    """Run the server on a free port of loopback while the body runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            received.messages.append(json.loads(self.rfile.read(length)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its own name)
            """Write nothing."""

    with http_server(Handler) as server:
        received = MessageServer(f"http://127.0.0.1:{server.server_port}")
        yield received
