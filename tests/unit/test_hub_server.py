"""What the unmodified client downloads from the local Hub is what was pushed."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors.numpy import save
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from tests.support.hub import LocalHub, RunningHub, serve_folder

REPO = "acme/tiny"
MILLISECOND = timedelta(milliseconds=1)  # the Hub writes no finer dates
CARD = b"---\nlicense: apache-2.0\nlibrary_name: transformers\ntags:\n- tiny\n---\n# Tiny\n"
WEIGHTS = save({"weight": np.arange(8192, dtype=np.float32)})
FILES = {
    "README.md": CARD,
    "config.json": json.dumps({"model_type": "llama", "hidden_size": 64}).encode(),
    "model.safetensors": WEIGHTS,
    "onnx/cpu/model.onnx": bytes(range(256)) * 64,
    "onnx/genai_config.json": b"{}",
}


@pytest.fixture
def hub(tmp_path: Path) -> LocalHub:
    """A Hub with one small model."""
    hub = LocalHub(tmp_path / "hub")
    hub.push(REPO, FILES, message="Upload tiny\n\nIt is very small.")
    return hub


@pytest.fixture
def running(hub: LocalHub) -> Iterator[RunningHub]:
    """The same Hub, reachable."""
    with hub.serve() as running:
        yield running


@pytest.fixture
def api(running: RunningHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HfApi:
    """The client, signed in nowhere; even for a folder it notes the branch in its cache."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return HfApi(endpoint=running.endpoint, token=False)


def read_all(folder: Path) -> dict[str, bytes]:
    """Return the contents below ``folder`` by path, without what the client keeps for itself."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".cache" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_snapshot_in_a_folder_holds_the_pushed_bytes(api: HfApi, tmp_path: Path) -> None:
    """Every file arrives under its path, unchanged."""
    folder = api.snapshot_download(REPO, local_dir=tmp_path / "weights")

    assert read_all(Path(folder)) == FILES


def test_a_snapshot_in_the_cache_is_not_asked_for_again(
    running: RunningHub, api: HfApi, tmp_path: Path
) -> None:
    """A commit never changes, so the client trusts its cache and this Hub's ids."""
    commit = api.model_info(REPO).sha
    options = {"revision": commit, "cache_dir": tmp_path, "endpoint": running.endpoint}
    first = snapshot_download(REPO, **options)
    asked_before = len(running.requests)

    second = snapshot_download(REPO, **options)

    assert read_all(Path(first)) == FILES
    assert second == first
    assert len(running.requests) == asked_before


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


def test_the_header_of_weights_is_read_without_the_weights(running: RunningHub, api: HfApi) -> None:
    """The client asks for a range of bytes and gets no more."""
    metadata = api.parse_safetensors_file_metadata(REPO, "model.safetensors")

    assert metadata.parameter_count == {"F32": 8192}
    assert running.requests[-1].span is not None
    assert running.requests[-1].status == 206


def test_an_old_commit_stays_readable_after_a_push(
    hub: LocalHub, running: RunningHub, tmp_path: Path
) -> None:
    """A branch moves; what a commit holds does not."""
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
    """The commit is there, the entry is not."""
    with pytest.raises(RemoteEntryNotFoundError):
        api.hf_hub_download(REPO, "nowhere.txt", cache_dir=tmp_path)
    with pytest.raises(RemoteEntryNotFoundError):
        list(api.list_repo_tree(REPO, "nowhere"))


def test_a_folder_of_models_is_served_where_it_lies(tmp_path: Path) -> None:
    """Each ORGANISATION/NAME is a repository; the same files are the same commit every time."""
    models = tmp_path / "models"
    for path in ("acme/tiny/config.json", "acme/tiny/.cache/x", "acme/empty/.git/x", "note/file"):
        (models / path).parent.mkdir(parents=True, exist_ok=True)
        (models / path).write_bytes(b"{}")
    os.utime(models / REPO / "config.json", (1_000_000_000, 1_000_000_000))
    commits = []

    for _restart in range(2):
        with serve_folder(models) as running:
            api = HfApi(endpoint=running.endpoint, token=False)
            [info] = api.list_models(expand=["sha", "siblings"])
            commits.append((api.model_info(info.id).sha, api.model_info(info.id).last_modified))
            target = api.snapshot_download(
                info.id, local_dir=tmp_path / "weights", cache_dir=tmp_path
            )

    assert info.id == REPO
    assert set(commits) == {(info.sha, datetime.fromtimestamp(1_000_000_000, UTC))}
    assert read_all(Path(target)) == {"config.json": b"{}"}
    assert sorted(path.name for path in models.iterdir()) == ["acme", "note"]


def test_cards_configs_and_tokenizers_load_by_name(hub: LocalHub, tmp_path: Path) -> None:
    """Libraries that take no endpoint find this Hub by HF_ENDPOINT, which they read once."""
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "hello": 1}, unk_token="[UNK]"))  # noqa: S106
    hub.push(
        REPO,
        {
            **FILES,
            "tokenizer.json": tokenizer.to_str().encode(),
            "tokenizer_config.json": b'{"tokenizer_class": "PreTrainedTokenizerFast"}',
        },
    )
    script = f"""
from huggingface_hub import ModelCard
from transformers import AutoConfig, AutoTokenizer
print(ModelCard.load({REPO!r}).data.license)
print(AutoConfig.from_pretrained({REPO!r}).hidden_size)
print(AutoTokenizer.from_pretrained({REPO!r})("hello").input_ids)
"""

    with hub.serve() as running:
        environment = {**os.environ, "HF_ENDPOINT": running.endpoint, "HF_HOME": str(tmp_path)}
        result = subprocess.run(
            [sys.executable, "-c", script],
            env={name: environment[name] for name in environment if name != "HF_TOKEN"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert result.stdout.split("\n")[:3] == ["apache-2.0", "64", "[1]"], result.stderr
