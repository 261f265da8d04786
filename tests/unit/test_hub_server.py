"""The local Hub answers the unmodified client as the real Hub does, where the product needs it."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile, RepoFolder
from safetensors.numpy import save

from tests.support.hub import LocalHub, RunningHub, Security
from tests.support.hub.repositories import in_large_file_storage, lfs_pointer

REPO = "acme/tiny"
OWNER, READER, STRANGER, UNKNOWN = "hf_owner", "hf_reader", "hf_stranger", "hf_unknown"
ACCOUNTS = {OWNER: "acme", READER: "rita", STRANGER: "sam"}
WEIGHTS = save({"weight": np.arange(8192, dtype=np.float32)})
FILES = {
    "README.md": b"---\nlicense: apache-2.0\ntags:\n- tiny\n---\n# Tiny\n\n---\nlicense: no\n---\n",
    "config.json": json.dumps({"model_type": "llama", "hidden_size": 64}).encode(),
    "model.safetensors": WEIGHTS,
    "onnx/cpu/model.onnx": bytes(range(256)) * 64,
    "onnx/genai_config.json": b"{}",
}
MIB = 1024 * 1024


@pytest.fixture
def hub(tmp_path: Path) -> LocalHub:
    """A Hub with accounts and one small model."""
    hub = LocalHub(tmp_path / "hub", ACCOUNTS)
    hub.push(REPO, FILES)
    return hub


@pytest.fixture
def running(hub: LocalHub) -> Iterator[RunningHub]:
    """The same Hub, with pages so small that a tree needs several."""
    with hub.serve(page_size=2) as running:
        yield running


def signed_in(running: RunningHub, token: str | bool) -> HfApi:
    """Return the client with ``token``; False is nobody."""
    return HfApi(endpoint=running.endpoint, token=token)


@pytest.fixture
def api(running: RunningHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HfApi:
    """The client without a token; even for a folder it writes the branch into its cache."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return signed_in(running, False)


def read_all(folder: Path) -> dict[str, bytes]:
    """Return the contents below ``folder`` by path, without the client's own files."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".cache" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_snapshot_in_a_folder_holds_the_pushed_bytes(api: HfApi, tmp_path: Path) -> None:
    """Every file arrives under its path, unchanged."""
    folder = api.snapshot_download(REPO, local_dir=tmp_path / "weights")

    assert read_all(Path(folder)) == FILES


def test_a_snapshot_in_the_cache_is_not_requested_again(
    running: RunningHub, api: HfApi, tmp_path: Path
) -> None:
    """A commit never changes, so the client trusts its cache and this Hub's ids."""
    commit = api.model_info(REPO).sha
    options = {"revision": commit, "cache_dir": tmp_path, "endpoint": running.endpoint}
    first = snapshot_download(REPO, **options)
    requests_before = len(running.requests)

    second = snapshot_download(REPO, **options)

    assert read_all(Path(first)) == FILES
    assert second == first
    assert len(running.requests) == requests_before


def test_checksums_agree_until_a_byte_is_flipped(api: HfApi, tmp_path: Path) -> None:
    """The ids of this Hub are those that the client computes from the bytes."""
    api.snapshot_download(REPO, local_dir=tmp_path)
    clean = api.verify_repo_checksums(REPO, local_dir=tmp_path)

    weights = bytearray(WEIGHTS)
    weights[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(weights)

    assert (clean.checked_count, clean.mismatches) == (len(FILES), [])
    [mismatch] = api.verify_repo_checksums(REPO, local_dir=tmp_path).mismatches
    assert (mismatch["path"], mismatch["algorithm"]) == ("model.safetensors", "sha256")


def test_ids_of_files_are_those_of_git(hub: LocalHub) -> None:
    """Of a small file's content, and of the pointer to a large one."""
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is not installed, so its ids cannot be compared")
    blobs = hub.repository(REPO).resolve("main").blobs
    weights = blobs["model.safetensors"]
    pointer = lfs_pointer(weights.sha256, len(WEIGHTS))

    for content, oid in ((FILES["config.json"], blobs["config.json"].oid), (pointer, weights.oid)):
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

    assert list(read_all(tmp_path / "hub" / "blobs").values()) == [b"content"]


def test_the_header_of_weights_is_read_without_the_weights(running: RunningHub, api: HfApi) -> None:
    """The client requests a range of bytes and gets no more."""
    metadata = api.parse_safetensors_file_metadata(REPO, "model.safetensors")

    assert metadata.parameter_count == {"F32": 8192}
    assert running.requests[-1].span is not None
    assert running.requests[-1].status == 206


def test_an_old_commit_stays_readable_after_a_push(
    hub: LocalHub, running: RunningHub, tmp_path: Path
) -> None:
    """A branch moves; the content of a commit does not."""
    old = hub.repository(REPO).resolve("main").id
    hub.push(REPO, {"config.json": b"[]"})

    def read(revision: str) -> bytes:
        options = {"endpoint": running.endpoint, "cache_dir": tmp_path, "revision": revision}
        return Path(hf_hub_download(REPO, "config.json", **options)).read_bytes()

    assert read("main") == b"[]"
    assert read(old) == FILES["config.json"]


@pytest.mark.parametrize("repo_id", ["acme/nowhere", "gpt2"])
def test_a_missing_repository_is_named_as_such(api: HfApi, repo_id: str, tmp_path: Path) -> None:
    """With an organisation or without one, the client raises its own error."""
    with pytest.raises(RepositoryNotFoundError):
        api.model_info(repo_id)
    with pytest.raises(RepositoryNotFoundError):
        api.hf_hub_download(repo_id, "config.json", cache_dir=tmp_path)


def test_a_missing_revision_is_named_as_such(api: HfApi, tmp_path: Path) -> None:
    """Neither a branch nor a commit that was never pushed is taken for another."""
    with pytest.raises(RevisionNotFoundError):
        api.model_info(REPO, revision="no-such-branch")
    with pytest.raises(RevisionNotFoundError):
        api.snapshot_download(REPO, revision="0" * 40, local_dir=tmp_path)


def test_a_missing_file_or_folder_is_named_as_such(api: HfApi, tmp_path: Path) -> None:
    """The commit exists, the entry does not."""
    with pytest.raises(RemoteEntryNotFoundError):
        api.hf_hub_download(REPO, "nowhere.txt", cache_dir=tmp_path)
    with pytest.raises(RemoteEntryNotFoundError):
        list(api.list_repo_tree(REPO, "nowhere"))


def test_a_model_is_described_at_its_head_and_at_any_revision(hub: LocalHub, api: HfApi) -> None:
    """Without a revision main answers; a tag, a commit and a pull request answer for themselves."""
    old = hub.repository(REPO).resolve("main").id
    hub.tag(REPO, "v1", old)
    new = hub.push(REPO, FILES)
    proposal = hub.push(REPO, {"config.json": b"[]"}, ref="refs/pr/1")

    revisions = (None, "main", "v1", old, "refs/pr/1")
    commits = [api.model_info(REPO, revision=revision).sha for revision in revisions]

    assert commits == [new, new, old, old, proposal]
    assert len({old, new, proposal}) == 3


def test_files_are_described_with_sizes_and_ids(api: HfApi) -> None:
    """Weights have the SHA-256 of large file storage, small files git's id alone."""
    info = api.model_info(REPO, files_metadata=True)

    files = {sibling.rfilename: sibling for sibling in info.siblings}
    assert {name: file.size for name, file in files.items()} == {
        name: len(content) for name, content in FILES.items()
    }
    assert [name for name, file in files.items() if file.lfs] == [
        "model.safetensors",
        "onnx/cpu/model.onnx",
    ]
    assert files["onnx/genai_config.json"].blob_id == "9e26dfeeb6e641a33dae4961196235bdb965b21b"
    assert info.card_data.license == "apache-2.0"
    assert (info.private, info.gated) == (False, False)


def test_only_the_expanded_properties_are_shown(api: HfApi) -> None:
    """What was not requested stays unknown, as on the real Hub."""
    info = api.model_info(REPO, expand=["sha", "gated"])

    assert (info.id, info.gated) == (REPO, False)
    assert len(info.sha) == 40
    assert info.siblings is None


def test_scan_results_are_shown_when_there_are_any(hub: LocalHub, api: HfApi) -> None:
    """Mirrors do not scan: then the field is absent, which is not the same as clean."""
    unscanned = api.model_info(REPO, securityStatus=True).security_repo_status

    hub.configure(REPO, security=Security(files_with_issues={"model.safetensors": "unsafe"}))

    assert unscanned is None
    assert api.model_info(REPO).security_repo_status is None
    assert api.model_info(REPO, securityStatus=True).security_repo_status == {
        "scansDone": True,
        "filesWithIssues": [{"path": "model.safetensors", "level": "unsafe"}],
    }


def test_a_tree_is_listed_over_several_pages(running: RunningHub, api: HfApi) -> None:
    """The client follows the link of each page until all entries are there."""
    entries = list(api.list_repo_tree(REPO, recursive=True))

    files = {entry.path: entry.size for entry in entries if isinstance(entry, RepoFile)}
    folders = [entry.path for entry in entries if isinstance(entry, RepoFolder)]
    assert files == {name: len(content) for name, content in FILES.items()}
    assert folders == ["onnx", "onnx/cpu"]
    assert [each.query.get("cursor") for each in running.requests] == [None, ["2"], ["4"], ["6"]]


def test_a_folder_is_listed_alone(api: HfApi) -> None:
    """Without recursion a folder shows its own entries, under their full paths."""
    entries = api.list_repo_tree(REPO, "onnx")

    assert [entry.path for entry in entries] == ["onnx/cpu", "onnx/genai_config.json"]


@pytest.mark.parametrize(("token", "status"), [(False, 401), (STRANGER, 404)])
def test_a_private_model_does_not_exist_for_others(
    hub: LocalHub, running: RunningHub, token: str | bool, status: int
) -> None:
    """A stranger learns no more than of a model that does not exist."""
    hub.configure(REPO, private=True, readers={"rita"})

    with pytest.raises(RepositoryNotFoundError) as refused:
        signed_in(running, token).model_info(REPO)

    assert refused.value.response.status_code == status


@pytest.mark.parametrize("token", [OWNER, READER])
def test_a_private_model_is_shown_to_its_readers(
    hub: LocalHub, running: RunningHub, token: str, tmp_path: Path
) -> None:
    """Its owner reads it, and so do the users whom the owner named."""
    hub.configure(REPO, private=True, readers={"rita"})
    api = signed_in(running, token)

    folder = api.snapshot_download(REPO, local_dir=tmp_path / "weights", cache_dir=tmp_path)

    assert read_all(Path(folder)) == FILES
    assert api.model_info(REPO).private


@pytest.mark.parametrize(("token", "status"), [(False, 401), (STRANGER, 403)])
def test_a_gated_model_is_described_and_its_files_are_refused(
    hub: LocalHub, running: RunningHub, token: str | bool, status: int, tmp_path: Path
) -> None:
    """Everybody sees the description; only readers get the bytes."""
    hub.configure(REPO, gated="manual")
    api = signed_in(running, token)

    with pytest.raises(GatedRepoError) as refused:
        api.hf_hub_download(REPO, "config.json", cache_dir=tmp_path)

    assert refused.value.response.status_code == status
    assert api.model_info(REPO).gated == "manual"


def test_the_files_of_a_gated_model_are_sent_to_its_readers(
    hub: LocalHub, running: RunningHub, tmp_path: Path
) -> None:
    """The token of a user who accepted the terms is enough."""
    hub.configure(REPO, gated="auto", readers=["rita"])

    path = signed_in(running, READER).hf_hub_download(REPO, "config.json", cache_dir=tmp_path)

    assert Path(path).read_bytes() == FILES["config.json"]


def test_an_unknown_token_is_refused_even_for_a_public_model(running: RunningHub) -> None:
    """The client does not take it for a missing repository."""
    with pytest.raises(HfHubHTTPError) as refused:
        signed_in(running, UNKNOWN).model_info(REPO)

    assert not isinstance(refused.value, RepositoryNotFoundError)
    assert refused.value.response.status_code == 401


def test_a_hub_without_accounts_accepts_any_token(tmp_path: Path) -> None:
    """The client sends the token of the real Hub along; that must not lock its owner out."""
    hub = LocalHub(tmp_path)
    commit = hub.push(REPO, {"config.json": b"{}"})

    with hub.serve() as running:
        info = signed_in(running, UNKNOWN).model_info(REPO)

    assert info.sha == commit
