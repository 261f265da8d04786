"""What is ordered to go wrong on the local Hub goes wrong, and nothing else does."""

import hashlib
import http.client
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import httpx

from tests.support.hub import (
    Fault,
    LocalHub,
    RunningHub,
    connection_reset,
    cut,
    error_status,
    html_page,
    meanwhile,
    stall,
    wrong_bytes,
)

REPO = "acme/tiny"
WEIGHTS = hashlib.shake_256(b"weights").digest(21 * 1024 * 1024)
CHUNK_BYTES = 10 * 1024 * 1024  # the client keeps whole chunks only
ANY_WEIGHTS = "*/model.safetensors"
INFO = f"/api/models/{REPO}"


@pytest.fixture
def hub(tmp_path: Path) -> LocalHub:
    """A Hub with one model, whose weights take the client three chunks."""
    hub = LocalHub(tmp_path / "hub")
    hub.push(REPO, {"config.json": b"{}", "model.safetensors": WEIGHTS})
    return hub


@pytest.fixture
def running(hub: LocalHub) -> Iterator[RunningHub]:
    """The same Hub, reachable."""
    with hub.serve() as running:
        yield running


@pytest.fixture
def api(running: RunningHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HfApi:
    """The client, which waits at most half a second for the next byte."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.5)
    return HfApi(endpoint=running.endpoint, token=False)


def statuses(running: RunningHub, path: str, *methods: str) -> list[int | None]:
    """Ask for ``path`` once per method and return the statuses; None is a dropped connection."""
    answers: list[int | None] = []
    for method in methods:
        connection = http.client.HTTPConnection(running.endpoint.removeprefix("http://"))
        try:
            connection.request(method, path)
            answers.append(connection.getresponse().status)
        except ConnectionResetError:
            answers.append(None)
        connection.close()
    return answers


def test_a_cut_download_goes_on_where_it_broke_off(
    running: RunningHub, api: HfApi, tmp_path: Path
) -> None:
    """The client keeps two whole chunks and asks for the rest by a range."""
    order = running.faults.add(cut(after_bytes=2 * CHUNK_BYTES + 1000), ANY_WEIGHTS)

    folder = api.snapshot_download(REPO, local_dir=tmp_path)

    assert order.met == 1
    assert Path(folder, "model.safetensors").read_bytes() == WEIGHTS
    asked = [asked for asked in running.requests if asked.path.endswith("model.safetensors")]
    assert [(one.method, one.span, one.status) for one in asked] == [
        ("HEAD", None, 200),
        ("GET", None, 200),
        ("GET", f"bytes={2 * CHUNK_BYTES}-", 206),
    ]


@pytest.mark.parametrize("after_bytes", [0, CHUNK_BYTES + 1])
def test_a_stalled_download_runs_into_the_clients_timeout(
    running: RunningHub, api: HfApi, tmp_path: Path, after_bytes: int
) -> None:
    """Before the headers or within the body: the client gives up waiting and asks again."""
    order = running.faults.add(stall(30, after_bytes), ANY_WEIGHTS)

    folder = api.snapshot_download(REPO, local_dir=tmp_path)

    assert order.met == 1
    assert Path(folder, "model.safetensors").read_bytes() == WEIGHTS


def test_a_short_stall_delays_and_loses_nothing(running: RunningHub, api: HfApi) -> None:
    """An answer that comes late is still the answer."""
    running.faults.add(stall(0.3), INFO)
    begin = time.monotonic()

    info = api.model_info(REPO)

    assert info.id == REPO
    assert time.monotonic() - begin >= 0.3


def test_too_many_requests_name_the_time_to_wait(running: RunningHub, api: HfApi) -> None:
    """The client sleeps for as long as Retry-After says, and one second more."""
    running.faults.add(error_status(429, retry_after_seconds=1), "*/tree/*")
    begin = time.monotonic()

    entries = list(api.list_repo_tree(REPO))

    assert len(entries) == 2
    assert time.monotonic() - begin >= 2
    assert [asked.status for asked in running.requests] == [429, 200]


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_error_reaches_the_caller(running: RunningHub, api: HfApi, status: int) -> None:
    """Describing a model is not retried by the client: whoever calls it has to."""
    running.faults.add(error_status(status), INFO)

    with pytest.raises(HfHubHTTPError) as failed:
        api.model_info(REPO)

    assert failed.value.response.status_code == status
    assert api.model_info(REPO).id == REPO


def flipped(content: bytes) -> bytes:
    """Return ``content`` with its middle byte inverted."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


def is_page(content: bytes) -> bool:
    """Tell whether ``content`` is what a network that wants a sign-in sends."""
    return content.startswith(b"<!DOCTYPE html>") and len(content) == len(WEIGHTS)


@pytest.mark.parametrize(
    ("fault", "looks_as_ordered"),
    [
        pytest.param(wrong_bytes, lambda content: content == flipped(WEIGHTS), id="wrong bytes"),
        pytest.param(html_page, is_page, id="html page"),
    ],
)
def test_wrong_content_of_the_right_size_passes_until_checksums_are_compared(
    running: RunningHub,
    api: HfApi,
    tmp_path: Path,
    fault: Fault,
    looks_as_ordered: Callable[[bytes], bool],
) -> None:
    """The client compares sizes only; the Hub's checksums tell what it missed."""
    running.faults.add(fault, ANY_WEIGHTS)

    folder = api.snapshot_download(REPO, local_dir=tmp_path)

    assert looks_as_ordered(Path(folder, "model.safetensors").read_bytes())
    [mismatch] = api.verify_repo_checksums(REPO, local_dir=folder).mismatches
    assert mismatch["path"] == "model.safetensors"


def test_a_dropped_connection_is_an_error_of_the_network(running: RunningHub, api: HfApi) -> None:
    """No answer comes; the log shows the request all the same."""
    running.faults.add(connection_reset, INFO)

    with pytest.raises(httpx.ReadError, match="reset by peer"):
        api.model_info(REPO)

    assert [asked.status for asked in running.requests] == [None]


def test_a_branch_may_move_between_two_calls(
    hub: LocalHub, running: RunningHub, api: HfApi
) -> None:
    """The first answer still names the old commit, the next one the new."""
    old = api.model_info(REPO).sha
    pushed: list[str] = []
    running.faults.add(meanwhile(lambda: pushed.append(hub.push(REPO, {"a.txt": b"new"}))), INFO)

    answers = [api.model_info(REPO).sha for _ in range(3)]

    assert answers == [old, *pushed, *pushed]
    assert old not in pushed


def test_a_resolved_commit_is_downloaded_whole_while_the_branch_moves(
    hub: LocalHub, running: RunningHub, api: HfApi, tmp_path: Path
) -> None:
    """A push between two files of one download mixes nothing."""
    commit = api.model_info(REPO).sha
    push = meanwhile(lambda: hub.push(REPO, {"config.json": b"[]"}))
    order = running.faults.add(push, "*/resolve/*", method=None)

    api.snapshot_download(REPO, revision="main", local_dir=tmp_path, max_workers=1)

    assert order.met == 1
    assert (tmp_path / "config.json").read_bytes() == b"{}"
    assert (tmp_path / "model.safetensors").read_bytes() == WEIGHTS
    assert api.verify_repo_checksums(REPO, revision=commit, local_dir=tmp_path).mismatches == []


def test_a_fault_meets_the_ordered_number_of_requests(running: RunningHub) -> None:
    """It meets the first ones, and is over."""
    order = running.faults.add(error_status(503), INFO, count=2)

    answers = statuses(running, INFO, "GET", "GET", "GET", "GET")

    assert answers == [503, 503, 200, 200]
    assert order.met == 2


def test_a_fault_meets_the_ordered_method_and_path_alone(running: RunningHub) -> None:
    """Other methods and other paths are answered as ever; None means every method."""
    running.faults.add(error_status(500), f"/{REPO}/resolve/*", method="HEAD", count=None)
    running.faults.add(connection_reset, f"{INFO}/tree/main", method=None)

    assert statuses(running, f"/{REPO}/resolve/main/config.json", "GET", "HEAD") == [200, 500]
    assert statuses(running, INFO, "GET", "HEAD") == [200, 200]
    assert statuses(running, f"{INFO}/tree/main", "HEAD", "HEAD") == [None, 200]


def test_of_two_orders_the_older_goes_first(running: RunningHub) -> None:
    """A sequence of faults is ordered by adding them in sequence, and withdrawn at once."""
    for status in (500, 503, 429):
        running.faults.add(error_status(status), INFO)

    answers = statuses(running, INFO, "GET", "GET")
    running.faults.clear()

    assert answers == [500, 503]
    assert statuses(running, INFO, "GET") == [200]
