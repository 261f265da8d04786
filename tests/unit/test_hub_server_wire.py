"""Below the client: bytes, ranges and connections of the local Hub, and ids as git gives them."""

import http.client
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.support.hub import LocalHub, RunningHub, serve_folder, stall

REPO = "acme/tiny"
CONTENT = bytes(range(256)) * 64
FILE = f"/{REPO}/resolve/main/model.bin"
MIB = 1024 * 1024


@pytest.fixture
def hub(tmp_path: Path) -> LocalHub:
    """A Hub with one model."""
    hub = LocalHub(tmp_path / "hub")
    hub.push(REPO, {"model.bin": CONTENT, "odd names/a b%ü.txt": b"odd", "empty.txt": b""})
    return hub


@pytest.fixture
def connection(hub: LocalHub) -> Iterator[http.client.HTTPConnection]:
    """One connection to the same Hub, kept for all requests of a test."""
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
        pytest.param("bytes=0-0", 0, 1, id="first byte"),
        pytest.param("bytes=100-199", 100, 200, id="middle"),
        pytest.param("bytes=16000-", 16000, 16384, id="open end"),
        pytest.param("bytes=16000-99999", 16000, 16384, id="beyond the end"),
        pytest.param("bytes=-10", 16374, 16384, id="last ten"),
        pytest.param("bytes=-99999", 0, 16384, id="more than all"),
    ],
)
def test_a_range_is_answered_with_just_these_bytes(
    connection: http.client.HTTPConnection, span: str, start: int, stop: int
) -> None:
    """The part and its place in the whole are both told."""
    response, body = ask(connection, FILE, span=span)

    assert (response.status, body) == (206, CONTENT[start:stop])
    assert response.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(CONTENT)}"


@pytest.mark.parametrize("span", ["bytes=9-2", "bytes=-", "lines=1-2", "bytes=0-1,5-6"])
def test_a_range_without_sense_is_answered_with_the_whole(
    connection: http.client.HTTPConnection, span: str
) -> None:
    """RFC 9110 lets a server ignore a range; several at once are ignored too."""
    response, body = ask(connection, FILE, span=span)

    assert (response.status, body) == (200, CONTENT)


@pytest.mark.parametrize("span", ["bytes=16384-", "bytes=99999-100000", "bytes=-0"])
def test_a_range_behind_the_end_is_refused_with_the_size(
    connection: http.client.HTTPConnection, span: str
) -> None:
    """The client learns how long the file really is."""
    response, _ = ask(connection, FILE, span=span)

    assert response.status == 416
    assert response.headers["Content-Range"] == f"bytes */{len(CONTENT)}"


def test_headers_alone_say_what_a_download_would_be(
    hub: LocalHub, connection: http.client.HTTPConnection
) -> None:
    """Size, commit and ids come without a byte of the body, and the connection stays usable."""
    response, body = ask(connection, FILE, "HEAD")

    commit = hub.repository(REPO).resolve("main")
    sha256 = f'"{commit.blob("model.bin").sha256}"'
    assert body == b""
    assert response.headers["Content-Length"] == "16384"
    assert response.headers["X-Repo-Commit"] == commit.id
    assert response.headers["ETag"] == response.headers["X-Linked-Etag"] == sha256
    assert ask(connection, FILE)[1] == CONTENT


def test_odd_names_and_empty_files_arrive(connection: http.client.HTTPConnection) -> None:
    """Spaces, percent signs and umlauts are encoded in the path; nothing is a content too."""
    folder = f"/{REPO}/resolve/main"

    assert ask(connection, f"{folder}/odd%20names/a%20b%25%C3%BC.txt")[1] == b"odd"
    assert ask(connection, f"{folder}/empty.txt")[1] == b""


@pytest.mark.parametrize("path", ["..%2f..%2fetc%2fpasswd", "../../../../etc/passwd"])
def test_no_path_leads_out_of_a_repository(
    connection: http.client.HTTPConnection, path: str
) -> None:
    """Files are looked up by name among those of the commit, never on the disk."""
    response, _ = ask(connection, f"/{REPO}/resolve/main/{path}")

    assert (response.status, response.headers["X-Error-Code"]) == (404, "EntryNotFound")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/whoami-v2", 401),
        (f"/api/models/{REPO}/tree/main?cursor=x", 400),
        ("/api/datasets", 401),
        ("/", 401),
    ],
)
def test_what_the_hub_cannot_answer_is_refused(
    connection: http.client.HTTPConnection, path: str, status: int
) -> None:
    """A refusal says why, in its body and in a header, and ends no connection."""
    response, body = ask(connection, path)

    assert response.status == status
    assert json.loads(body) == {"error": response.headers["X-Error-Message"]}
    assert ask(connection, FILE)[1] == CONTENT


def test_a_file_that_shrank_under_a_served_folder_is_a_broken_download(tmp_path: Path) -> None:
    """The client is not left waiting for bytes that are no longer there."""
    file = tmp_path / REPO / "model.bin"
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)

    with serve_folder(tmp_path) as running:
        file.write_bytes(CONTENT[:100])
        with pytest.raises(http.client.IncompleteRead) as broken:
            ask(connect(running), FILE)

    assert broken.value.partial == CONTENT[:100]


def test_many_clients_are_served_at_once(hub: LocalHub) -> None:
    """Every one of them gets the bytes, and the log misses none."""
    with hub.serve() as running, ThreadPoolExecutor(32) as pool:
        bodies = list(pool.map(lambda _: ask(connect(running), FILE)[1], range(200)))

    assert bodies == [CONTENT] * 200
    assert len(running.requests) == 200


def test_a_stopped_hub_answers_on_no_connection(hub: LocalHub) -> None:
    """A kept connection ends too; the same port serves again afterwards."""
    with hub.serve() as running:
        kept = connect(running)
        ask(kept, FILE)
    with pytest.raises(ConnectionError):
        ask(kept, FILE)
    with pytest.raises(ConnectionRefusedError):
        ask(connect(running), FILE)

    with hub.serve(int(running.endpoint.rpartition(":")[2])) as again:
        _, body = ask(connect(again), FILE)

    assert again.endpoint == running.endpoint
    assert body == CONTENT


def test_a_stalled_answer_ends_with_its_hub(hub: LocalHub) -> None:
    """Neither the client nor a thread of the server waits on for what was held back."""
    before = {*threading.enumerate()}
    with hub.serve() as running:
        running.faults.add(stall(60, after_bytes=1))
        connection = connect(running)
        connection.request("GET", FILE)
        response = connection.getresponse()
        threads = {*threading.enumerate()} - before

    with pytest.raises((ConnectionError, http.client.IncompleteRead)):
        response.read()
    for thread in threads:
        thread.join(timeout=5)
    assert len(threads) == 2
    assert not any(thread.is_alive() for thread in threads)


SERVE_UNTIL_TOLD = """
import sys
from pathlib import Path
from hub import serve_folder
with serve_folder(Path(sys.argv[1])) as running:
    print(running.endpoint, flush=True)
    sys.stdin.read()
"""


def test_a_large_file_is_streamed_and_not_held_in_memory(tmp_path: Path) -> None:
    """A server that sends 200 MiB grows by less than 50 MiB."""
    weights = tmp_path / REPO / "model.bin"
    weights.parent.mkdir(parents=True)
    with weights.open("wb") as stream:
        stream.truncate(200 * MIB)
    command = [sys.executable, "-c", SERVE_UNTIL_TOLD, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as server:
        assert server.stdin
        assert server.stdout
        endpoint = server.stdout.readline().strip().removeprefix("http://")
        memory = psutil.Process(server.pid).memory_info
        before_bytes, peak_bytes, received_bytes = memory().rss, 0, 0
        connection = http.client.HTTPConnection(endpoint)
        connection.request("GET", FILE)
        response = connection.getresponse()
        while chunk := response.read(MIB):
            received_bytes += len(chunk)
            peak_bytes = max(peak_bytes, memory().rss)
        connection.close()
        server.stdin.close()

    assert received_bytes == 200 * MIB
    assert peak_bytes - before_bytes < 50 * MIB
