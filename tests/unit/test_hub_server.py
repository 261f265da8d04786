"""The local Hub answers the unmodified client as the real Hub does, where the product needs it.

What the product's own tests show of it (tokens, scans, faults of a download) is not repeated here.
"""

import http.client
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
from huggingface_hub.utils import httpx

from tests.support.hub import LocalHub, RunningHub, connection_reset, error_status, stall
from tests.support.hub.repositories import in_large_file_storage, lfs_pointer

REPO = "acme/tiny"
OWNER, READER, STRANGER, UNKNOWN = "hf_owner", "hf_reader", "hf_stranger", "hf_unknown"
ACCOUNTS = {OWNER: "acme", READER: "rita", STRANGER: "sam"}
WEIGHTS = bytes(range(256)) * 64
FILES = {
    "README.md": b"---\nlicense: apache-2.0\ntags:\n- tiny\n---\n# Tiny\n\n---\nlicense: no\n---\n",
    "model.safetensors": WEIGHTS,
    "odd names/a b%ü.txt": b"odd",
    "onnx/genai_config.json": b"{}",
    "empty.txt": b"",
}
MIB = 1024 * 1024
INFO, RESOLVE = f"/api/models/{REPO}", f"/{REPO}/resolve/main"
FILE = f"{RESOLVE}/model.safetensors"


@pytest.fixture
def hub(tmp_path: Path) -> LocalHub:
    """A Hub with accounts and one small model."""
    hub = LocalHub(tmp_path / "hub", ACCOUNTS)
    hub.push(REPO, FILES)
    return hub


@pytest.fixture
def running(hub: LocalHub) -> Iterator[RunningHub]:
    """The same Hub, reachable."""
    with hub.serve() as running:
        yield running


def signed_in(running: RunningHub, token: str | bool) -> HfApi:
    """Return the client with ``token``; False is nobody."""
    return HfApi(endpoint=running.endpoint, token=token)


def connect(running: RunningHub) -> http.client.HTTPConnection:
    """Open a connection to a Hub."""
    return http.client.HTTPConnection(running.endpoint.removeprefix("http://"), timeout=10)


def ask(
    connection: http.client.HTTPConnection, path: str, method: str = "GET"
) -> tuple[http.client.HTTPResponse, bytes]:
    """Send one request over ``connection`` and return the answer and its body."""
    connection.request(method, path)
    response = connection.getresponse()
    return response, response.read()


def statuses(running: RunningHub, path: str, *methods: str) -> list[int | None]:
    """Ask for ``path`` once per method and return the statuses; None is a dropped connection."""
    answers: list[int | None] = []
    for method in methods:
        connection = connect(running)
        try:
            answers.append(ask(connection, path, method)[0].status)
        except ConnectionResetError:
            answers.append(None)
        connection.close()
    return answers


def test_ids_of_files_are_those_of_git(hub: LocalHub) -> None:
    """Of a small file's content, and of the pointer to a large one."""
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is not installed, so its ids cannot be compared")
    blobs = hub.repository(REPO).resolve("main").blobs
    weights = blobs["model.safetensors"]
    pointer = lfs_pointer(weights.sha256, len(WEIGHTS))

    for content, oid in ((FILES["README.md"], blobs["README.md"].oid), (pointer, weights.oid)):
        command = [git, "hash-object", "--stdin"]
        assert subprocess.check_output(command, input=content).decode().strip() == oid


@pytest.mark.parametrize(
    ("name", "size_bytes", "expected"),
    [
        ("model.safetensors", 10 * 1024, True),
        ("model.safetensors", 10 * 1024 - 1, False),
        ("onnx/model.onnx_data", 10**9, True),
        ("model.onnx.data", 10**9, True),
        ("tokenizer.json", 2 * MIB, False),
        ("tokenizer.json", 10 * MIB, True),
    ],
)
def test_large_files_and_weights_are_in_large_file_storage(
    name: str, size_bytes: int, expected: bool
) -> None:
    """The rule is that of the Hub's usual .gitattributes, and its limit for all other files."""
    assert in_large_file_storage(name, size_bytes) is expected


def test_contents_are_copied_and_stored_once(tmp_path: Path) -> None:
    """Two repositories and two commits share one file; the pushed folder may change afterwards."""
    source = tmp_path / "model"
    source.mkdir()
    for name in ("a.bin", "b.bin"):
        (source / name).write_bytes(b"content")
    hub = LocalHub(tmp_path / "hub")
    for repo_id in ("acme/one", "acme/two", "acme/two"):
        hub.push(repo_id, source)

    (source / "a.bin").write_bytes(b"changed")

    blobs = [path for path in (tmp_path / "hub" / "blobs").rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in blobs] == [b"content"]


def test_a_model_is_described_at_its_head_and_at_any_revision(
    hub: LocalHub, running: RunningHub
) -> None:
    """Without a revision main answers; a tag, a commit and a pull request answer for themselves."""
    old = hub.repository(REPO).resolve("main").id
    hub.tag(REPO, "v1", old)
    new = hub.push(REPO, FILES)
    proposal = hub.push(REPO, {"config.json": b"[]"}, ref="refs/pr/1")
    api = signed_in(running, False)

    revisions = (None, "main", "v1", old, "refs/pr/1")
    commits = [api.model_info(REPO, revision=revision).sha for revision in revisions]

    assert commits == [new, new, old, old, proposal]
    assert len({old, new, proposal}) == 3


def test_files_are_described_with_sizes_and_ids(running: RunningHub) -> None:
    """Weights have the SHA-256 of large file storage, small files git's id alone."""
    info = signed_in(running, False).model_info(REPO, files_metadata=True)

    files = {sibling.rfilename: sibling for sibling in info.siblings}
    assert {name: file.size for name, file in files.items()} == {
        name: len(content) for name, content in FILES.items()
    }
    assert [name for name, file in files.items() if file.lfs] == ["model.safetensors"]
    assert files["onnx/genai_config.json"].blob_id == "9e26dfeeb6e641a33dae4961196235bdb965b21b"
    assert info.card_data.license == "apache-2.0"
    assert (info.private, info.gated) == (False, False)


def test_only_the_expanded_properties_are_shown(running: RunningHub) -> None:
    """What was not requested stays unknown, as on the real Hub."""
    info = signed_in(running, False).model_info(REPO, expand=["sha", "gated"])

    assert (info.id, info.gated) == (REPO, False)
    assert len(info.sha) == 40
    assert info.siblings is None


@pytest.mark.parametrize(("token", "status"), [(False, 401), (STRANGER, 404)])
def test_a_private_model_does_not_exist_for_others(
    hub: LocalHub, running: RunningHub, token: str | bool, status: int
) -> None:
    """A stranger learns no more than of a model that does not exist."""
    hub.configure(REPO, private=True, readers={"rita"})

    with pytest.raises(RepositoryNotFoundError) as refused:
        signed_in(running, token).model_info(REPO)

    assert refused.value.response.status_code == status
    assert all(signed_in(running, each).model_info(REPO).private for each in (OWNER, READER))


@pytest.mark.parametrize(("token", "status"), [(False, 401), (STRANGER, 403)])
def test_a_gated_model_is_described_and_its_files_are_refused(
    hub: LocalHub, running: RunningHub, token: str | bool, status: int, tmp_path: Path
) -> None:
    """Everybody sees the description; only readers get the bytes."""
    hub.configure(REPO, gated="manual")
    api = signed_in(running, token)

    with pytest.raises(GatedRepoError) as refused:
        api.hf_hub_download(REPO, "README.md", cache_dir=tmp_path)

    assert refused.value.response.status_code == status
    assert api.model_info(REPO).gated == "manual"


def test_a_hub_without_accounts_accepts_any_token(tmp_path: Path) -> None:
    """The client sends the token of the real Hub along; that must not lock its owner out."""
    hub = LocalHub(tmp_path)
    commit = hub.push(REPO, {"config.json": b"{}"})

    with hub.serve() as running:
        info = signed_in(running, UNKNOWN).model_info(REPO)

    assert info.sha == commit


def test_headers_alone_describe_a_download(hub: LocalHub, running: RunningHub) -> None:
    """Size, commit and ids come without a byte of the body, and the connection stays usable."""
    connection = connect(running)

    response, body = ask(connection, FILE, "HEAD")

    commit = hub.repository(REPO).resolve("main")
    sha256 = f'"{commit.blobs["model.safetensors"].sha256}"'
    assert body == b""
    assert response.headers["Content-Length"] == "16384"
    assert response.headers["X-Repo-Commit"] == commit.id
    assert response.headers["ETag"] == response.headers["X-Linked-Etag"] == sha256
    assert ask(connection, FILE)[1] == WEIGHTS


def test_odd_names_and_empty_files_arrive(running: RunningHub) -> None:
    """Spaces, percent signs and umlauts are encoded in the path; an empty file is a file too."""
    connection = connect(running)

    assert ask(connection, f"{RESOLVE}/odd%20names/a%20b%25%C3%BC.txt")[1] == b"odd"
    assert ask(connection, f"{RESOLVE}/empty.txt")[1] == b""


@pytest.mark.parametrize(
    ("path", "status"),
    [(f"{INFO}/revision/none", 404), (f"{RESOLVE}/none", 404), ("/api/datasets", 401), ("/", 401)],
)
def test_an_error_says_why_in_its_body_and_in_a_header(
    running: RunningHub, path: str, status: int
) -> None:
    """Afterwards the connection is still usable."""
    connection = connect(running)

    response, body = ask(connection, path)

    assert response.status == status
    assert json.loads(body) == {"error": response.headers["X-Error-Message"]}
    assert ask(connection, FILE)[1] == WEIGHTS


def test_many_clients_are_served_at_once(running: RunningHub) -> None:
    """Every one of them gets the bytes, and the log misses none."""
    with ThreadPoolExecutor(32) as pool:
        bodies = list(pool.map(lambda _: ask(connect(running), FILE)[1], range(200)))

    assert bodies == [WEIGHTS] * 200
    assert len(running.requests) == 200


def test_a_dropped_connection_is_an_error_of_the_network(running: RunningHub) -> None:
    """No answer comes; the log shows the request all the same."""
    running.faults.add(connection_reset, INFO)

    with pytest.raises(httpx.ReadError, match="reset by peer"):
        signed_in(running, False).model_info(REPO)

    assert [asked.status for asked in running.requests] == [None]


def test_faults_meet_the_ordered_requests_and_no_others(running: RunningHub) -> None:
    """By method, path and count; of two that match, the older goes first."""
    twice = running.faults.add(error_status(503), INFO, count=2)
    for status in (500, 429):
        running.faults.add(error_status(status), INFO)
    running.faults.add(error_status(500), f"{RESOLVE}/*", method="HEAD", count=None)
    running.faults.add(connection_reset, f"{INFO}/revision/main", method=None)

    assert statuses(running, INFO, "HEAD", "GET", "GET", "GET") == [200, 503, 503, 500]
    assert twice.met == 2
    assert statuses(running, FILE, "GET", "HEAD", "HEAD") == [200, 500, 500]
    assert statuses(running, f"{INFO}/revision/main", "HEAD", "HEAD") == [None, 200]
    running.faults.clear()
    assert statuses(running, INFO, "GET") == [200]


@pytest.mark.parametrize("after_bytes", [0, 1])
def test_a_stalled_answer_ends_with_its_hub(hub: LocalHub, after_bytes: int) -> None:
    """Neither the client nor the server's thread waits for what was held back."""
    before = {*threading.enumerate()}
    with hub.serve() as running:
        kept = connect(running)
        ask(kept, FILE)
        running.faults.add(stall(60, after_bytes))
        connection = connect(running)
        connection.request("GET", FILE)
        response = connection.getresponse() if after_bytes else None

    with pytest.raises((ConnectionError, http.client.IncompleteRead)):
        (response or connection.getresponse()).read()
    with pytest.raises(ConnectionError):
        ask(kept, FILE)
    for thread in {*threading.enumerate()} - before:
        thread.join(timeout=5)
    assert {*threading.enumerate()} <= before
