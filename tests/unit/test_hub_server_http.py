"""Below the client: bytes, ranges and connections of the local Hub."""

import http.client
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.hub import LocalHub, RunningHub, stall

REPO = "acme/tiny"
CONTENT = bytes(range(256)) * 64
FILE = f"/{REPO}/resolve/main/model.bin"


@pytest.fixture
def hub(tmp_path: Path) -> LocalHub:
    """A Hub with one model."""
    hub = LocalHub(tmp_path / "hub")
    hub.push(REPO, {"model.bin": CONTENT, "odd names/a b%ü.txt": b"odd", "empty.txt": b""})
    return hub


@pytest.fixture
def connection(hub: LocalHub) -> Iterator[http.client.HTTPConnection]:
    """One connection to the same Hub, for all requests of a test."""
    with hub.serve() as running:
        connection = connect(running)
        yield connection
        connection.close()


def connect(running: RunningHub) -> http.client.HTTPConnection:
    """Open a connection to a Hub."""
    return http.client.HTTPConnection(running.endpoint.removeprefix("http://"), timeout=10)


def ask(
    connection: http.client.HTTPConnection, path: str, method: str = "GET", span: str | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    """Send one request over ``connection`` and return the answer and its body."""
    connection.request(method, path, headers={"Range": span} if span else {})
    response = connection.getresponse()
    return response, response.read()


@pytest.mark.parametrize(
    ("span", "start", "stop"),
    [
        pytest.param("bytes=100-199", 100, 200, id="middle"),
        pytest.param("bytes=16000-", 16000, 16384, id="open end"),
        pytest.param("bytes=16000-99999", 16000, 16384, id="beyond the end"),
    ],
)
def test_a_range_is_answered_with_just_these_bytes(
    connection: http.client.HTTPConnection, span: str, start: int, stop: int
) -> None:
    """The answer says where the part begins and ends."""
    response, body = ask(connection, FILE, span=span)

    assert (response.status, body) == (206, CONTENT[start:stop])
    assert response.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(CONTENT)}"


def test_a_range_behind_the_end_is_refused_with_the_size(
    connection: http.client.HTTPConnection,
) -> None:
    """The client learns how long the file really is."""
    response, _ = ask(connection, FILE, span="bytes=16384-")

    assert response.status == 416
    assert response.headers["Content-Range"] == f"bytes */{len(CONTENT)}"


def test_headers_alone_describe_a_download(
    hub: LocalHub, connection: http.client.HTTPConnection
) -> None:
    """Size, commit and ids come without a byte of the body, and the connection stays usable."""
    response, body = ask(connection, FILE, "HEAD")

    commit = hub.repository(REPO).resolve("main")
    sha256 = f'"{commit.blobs["model.bin"].sha256}"'
    assert body == b""
    assert response.headers["Content-Length"] == "16384"
    assert response.headers["X-Repo-Commit"] == commit.id
    assert response.headers["ETag"] == response.headers["X-Linked-Etag"] == sha256
    assert ask(connection, FILE)[1] == CONTENT


def test_odd_names_and_empty_files_arrive(connection: http.client.HTTPConnection) -> None:
    """Spaces, percent signs and umlauts are encoded in the path; an empty file is a file too."""
    folder = f"/{REPO}/resolve/main"

    assert ask(connection, f"{folder}/odd%20names/a%20b%25%C3%BC.txt")[1] == b"odd"
    assert ask(connection, f"{folder}/empty.txt")[1] == b""


@pytest.mark.parametrize(
    ("path", "status"),
    [(f"/api/models/{REPO}/tree/none", 404), ("/api/datasets", 401), ("/", 401)],
)
def test_an_error_says_why_in_its_body_and_in_a_header(
    connection: http.client.HTTPConnection, path: str, status: int
) -> None:
    """Afterwards the connection is still usable."""
    response, body = ask(connection, path)

    assert response.status == status
    assert json.loads(body) == {"error": response.headers["X-Error-Message"]}
    assert ask(connection, FILE)[1] == CONTENT


def test_many_clients_are_served_at_once(hub: LocalHub) -> None:
    """Every one of them gets the bytes, and the log misses none."""
    with hub.serve() as running, ThreadPoolExecutor(32) as pool:
        bodies = list(pool.map(lambda _: ask(connect(running), FILE)[1], range(200)))

    assert bodies == [CONTENT] * 200
    assert len(running.requests) == 200


def test_a_stopped_hub_answers_on_no_connection(hub: LocalHub) -> None:
    """An open connection ends too."""
    with hub.serve() as running:
        kept = connect(running)
        ask(kept, FILE)

    with pytest.raises(ConnectionError):
        ask(kept, FILE)
    with pytest.raises(ConnectionRefusedError):
        ask(connect(running), FILE)


@pytest.mark.parametrize("after_bytes", [0, 1])
def test_a_stalled_answer_ends_with_its_hub(hub: LocalHub, after_bytes: int) -> None:
    """Neither the client nor the server's thread waits for what was held back."""
    before = {*threading.enumerate()}
    with hub.serve() as running:
        running.faults.add(stall(60, after_bytes))
        connection = connect(running)
        connection.request("GET", FILE)
        response = connection.getresponse() if after_bytes else None

    with pytest.raises((ConnectionError, http.client.IncompleteRead)):
        (response or connection.getresponse()).read()
    for thread in {*threading.enumerate()} - before:
        thread.join(timeout=5)
    assert {*threading.enumerate()} <= before
