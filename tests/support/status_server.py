"""A server that is none of ours: it answers with a status and a page, and knows nothing else."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

from tests.support.network import http_server


@contextmanager
def status_server(statuses: Mapping[str, int], other: int) -> Iterator[str]:
    """Run it while the body runs, and give its URL.

    Args:
        statuses: By path.
        other: Status of any other path.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(statuses.get(self.path, other))
            self.end_headers()
            self.wfile.write(b"<html></html>")

        def log_message(self, format: str, *_arguments: object) -> None:  # noqa: A002 - its name
            pass

    with http_server(Handler) as server:
        yield f"http://127.0.0.1:{server.server_port}"
