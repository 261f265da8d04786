"""Contents on the local Hub: stored once, identified as git does, described by their card."""

import pickle
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.hub import LocalHub
from tests.support.hub.blobs import goes_to_lfs
from tests.support.hub.card import read_card
from tests.support.hub.refusals import (
    EntryNotFound,
    GatedRepo,
    InvalidToken,
    NotSupported,
    RangeNotSatisfiable,
    Refusal,
    RepoNotFound,
    RevisionNotFound,
)

REPO = "acme/tiny"
CONTENT = b"content"
MIB = 1024 * 1024


def test_contents_are_stored_once(tmp_path: Path) -> None:
    """Two repositories and two commits with the same bytes share one file."""
    hub = LocalHub(tmp_path)
    for repo_id in ("acme/one", "acme/two", "acme/two"):
        hub.push(repo_id, {"a.bin": CONTENT, "b.bin": CONTENT})

    stored = [path for path in (tmp_path / "blobs").iterdir() if path.is_file()]

    assert [path.read_bytes() for path in stored] == [CONTENT]
    assert [*(tmp_path / "blobs").iterdir()] == stored


def test_a_pushed_folder_is_copied(tmp_path: Path) -> None:
    """What happens to the folder afterwards does not reach the commit."""
    source = tmp_path / "model"
    source.mkdir()
    (source / "config.json").write_bytes(b"{}")
    hub = LocalHub(tmp_path / "hub")
    commit = hub.push(REPO, source)

    (source / "config.json").write_bytes(b"[]")

    blob = hub.repository(REPO).resolve(commit).blob("config.json")
    assert blob.path.read_bytes() == b"{}"


def test_ids_of_files_and_folders_are_those_of_git(tmp_path: Path) -> None:
    """A tree that git writes from the same files has the same id, whatever their order."""
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is not installed, so its ids cannot be compared")
    folder = tmp_path / "work"
    for name in ("a/b/c.txt", "a/b.txt", "a-b", "a.md", "z/ü"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, encoding="utf-8")
    hub = LocalHub(tmp_path / "hub")
    hub.push(REPO, folder)

    for arguments in (["init", "-q"], ["add", "."]):
        subprocess.run([git, *arguments], cwd=folder, check=True)
    tree = subprocess.check_output([git, "write-tree"], cwd=folder, text=True)

    assert hub.repository(REPO).resolve("main").folders[""] == tree.strip()


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
def test_large_files_and_weights_go_to_large_file_storage(
    name: str, size_bytes: int, expected: bool
) -> None:
    """The rule is that of the Hub's usual .gitattributes, and its limit for all other files."""
    assert goes_to_lfs(name, size_bytes) is expected


@pytest.mark.parametrize(
    ("repo_id", "path", "fault"),
    [
        ("tiny", "config.json", "organisation/name"),
        ("a/b/c", "config.json", "organisation/name"),
        (REPO, "/config.json", "plain"),
        (REPO, "../config.json", "plain"),
        (REPO, "a//config.json", "plain"),
    ],
)
def test_a_push_that_cannot_be_asked_for_is_refused(
    tmp_path: Path, repo_id: str, path: str, fault: str
) -> None:
    """A name that no client could send is an error of whoever pushes."""
    with pytest.raises(ValueError, match=fault):
        LocalHub(tmp_path).push(repo_id, {path: b""})


def test_a_push_of_nothing_is_refused(tmp_path: Path) -> None:
    """An empty folder is a mistake, not a model."""
    with pytest.raises(ValueError, match="at least one"):
        LocalHub(tmp_path).push(REPO, {})


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("license: mit", {"license": "mit"}),
        ("license: 'mit'  # open", {"license": "mit"}),
        ('tags: [a, "b"]', {"tags": ["a", "b"]}),
        ("language:\n- en\n- de\nlicense: mit", {"language": ["en", "de"], "license": "mit"}),
        ("language:\n  - en\n\n# note\nlicense: mit", {"language": ["en"], "license": "mit"}),
        ("model-index:\n- name: tiny\n  results: []\nlicense: mit", {"license": "mit"}),
        ("extra_gated_prompt: |\n  Please: agree.\nlicense: mit", {"license": "mit"}),
        ("inference: false", {"inference": False}),
    ],
)
def test_the_flat_part_of_a_cards_header_is_read(header: str, expected: object) -> None:
    """Scalars and lists of scalars are read, nested values are left out."""
    assert read_card(f"---\n{header}\n---\n# Tiny\n\n---\nlicense: no\n---\n") == expected


def test_a_card_without_a_header_says_nothing() -> None:
    """A line in the text is not a header."""
    assert read_card("# Tiny\n\n---\nlicense: mit\n---\n") == {}


@pytest.mark.parametrize(
    "refusal",
    [
        RepoNotFound(REPO, "rita"),
        RevisionNotFound(REPO, "v9"),
        EntryNotFound("config.json", "0" * 40),
        GatedRepo(REPO),
        InvalidToken(),
        RangeNotSatisfiable(7),
        NotSupported("cursor=x"),
    ],
)
def test_a_refusal_survives_the_way_to_another_process(refusal: Refusal) -> None:
    """Its message, status and headers are the same after pickling."""
    copy = pickle.loads(pickle.dumps(refusal))  # noqa: S301 (our own bytes)

    assert str(copy) == str(refusal)
    assert (copy.status, copy.code, copy.headers) == (refusal.status, refusal.code, refusal.headers)
