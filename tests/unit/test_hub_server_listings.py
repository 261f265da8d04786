"""What the local Hub says of models, files and histories is what the unmodified client asks for."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import BadRequestError
from huggingface_hub.hf_api import RepoFile, RepoFolder

from tests.support.hub import LocalHub, RunningHub, Security

REPO = "acme/tiny"
MILLISECOND = timedelta(milliseconds=1)  # the Hub writes no finer dates
FILES = {
    "README.md": b"---\nlicense: apache-2.0\nlibrary_name: transformers\ntags:\n- tiny\n---\n",
    "config.json": b'{"model_type": "llama"}',
    "model.safetensors": bytes(20_000),
    "onnx/cpu/model.onnx": bytes(10_240),
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
    """The same Hub, reachable, with pages so small that everything takes several."""
    with hub.serve(page_size=2) as running:
        yield running


@pytest.fixture
def api(running: RunningHub) -> HfApi:
    """The client, signed in nowhere."""
    return HfApi(endpoint=running.endpoint, token=False)


def test_a_model_is_described_at_its_head_and_at_any_revision(hub: LocalHub, api: HfApi) -> None:
    """Without a revision the head of main answers; a tag and a commit answer for themselves."""
    old = hub.repository(REPO).resolve("main").id
    hub.tag(REPO, "v1", old)

    begin = datetime.now(UTC)
    new = hub.push(REPO, {"README.md": b"no header"})

    assert api.model_info(REPO).sha == new
    assert api.model_info(REPO, revision="v1").sha == old
    assert api.model_info(REPO, revision=old).card_data.license == "apache-2.0"
    assert api.model_info(REPO).card_data is None
    assert api.model_info(REPO, revision="v1").last_modified <= begin
    assert begin - MILLISECOND <= api.model_info(REPO).last_modified <= datetime.now(UTC)


def test_a_models_card_becomes_its_tags(api: HfApi) -> None:
    """License, library, formats and the author's tags are read from the card and the files."""
    info = api.model_info(REPO)

    expected = ["onnx", "safetensors", "transformers", "tiny", "license:apache-2.0"]
    assert info.tags == expected
    assert info.library_name == "transformers"
    assert (info.private, info.gated, info.author) == (False, False, "acme")


def test_files_are_described_with_sizes_and_ids(api: HfApi) -> None:
    """Weights carry the SHA-256 of large file storage, small files git's id alone."""
    siblings = api.model_info(REPO, files_metadata=True).siblings

    files = {sibling.rfilename: sibling for sibling in siblings}
    assert {name: file.size for name, file in files.items()} == {
        name: len(content) for name, content in FILES.items()
    }
    assert [name for name, file in files.items() if file.lfs] == [
        "model.safetensors",
        "onnx/cpu/model.onnx",
    ]
    assert files["onnx/genai_config.json"].blob_id == "9e26dfeeb6e641a33dae4961196235bdb965b21b"


def test_only_the_expanded_properties_are_shown(api: HfApi) -> None:
    """What was not asked for stays unknown, as on the real Hub."""
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
    [weights, config] = api.get_paths_info(REPO, ["model.safetensors", "config.json"], expand=True)
    assert (weights.security.safe, config.security.safe) == (False, True)


def test_a_tree_is_listed_over_several_pages(running: RunningHub, api: HfApi) -> None:
    """The client follows the link of each page until all entries are there."""
    entries = list(api.list_repo_tree(REPO, recursive=True))

    files = {entry.path: entry.size for entry in entries if isinstance(entry, RepoFile)}
    folders = [entry.path for entry in entries if isinstance(entry, RepoFolder)]
    assert files == {name: len(content) for name, content in FILES.items()}
    assert folders == ["onnx", "onnx/cpu"]
    assert [asked.query.get("cursor") for asked in running.requests] == [None, ["2"], ["4"], ["6"]]


def test_a_folder_is_listed_alone(api: HfApi) -> None:
    """Without recursion a folder shows its own entries, under their full paths."""
    entries = api.list_repo_tree(REPO, "onnx")

    assert [entry.path for entry in entries] == ["onnx/cpu", "onnx/genai_config.json"]


def test_each_entry_knows_the_commit_that_changed_it_last(hub: LocalHub, api: HfApi) -> None:
    """A push of other files leaves the last change of this one where it was."""
    first = hub.repository(REPO).resolve("main").id
    second = hub.push(REPO, {**FILES, "config.json": b"{}"}, message="Change the config")

    entries = api.list_repo_tree(REPO, expand=True)

    changed = {entry.path: (entry.last_commit.oid, entry.last_commit.title) for entry in entries}
    assert changed["config.json"] == (second, "Change the config")
    assert changed["onnx"] == (first, "Upload tiny")


def test_the_info_of_paths_skips_those_that_do_not_exist(api: HfApi) -> None:
    """Files and folders are described in the order in which they were asked for."""
    infos = api.get_paths_info(REPO, ["onnx", "nowhere.txt", "config.json"])

    assert [info.path for info in infos] == ["onnx", "config.json"]


def test_branches_tags_and_pull_requests_are_listed(hub: LocalHub, api: HfApi) -> None:
    """Each kind of ref names its commit."""
    main = hub.repository(REPO).resolve("main").id
    hub.tag(REPO, "v1", main)
    proposal = hub.push(REPO, {"config.json": b"[]"}, ref="refs/pr/1")

    refs = api.list_repo_refs(REPO, include_pull_requests=True)

    assert [(ref.name, ref.target_commit) for ref in refs.branches] == [("main", main)]
    assert [(ref.name, ref.target_commit) for ref in refs.tags] == [("v1", main)]
    assert [(ref.ref, ref.target_commit) for ref in refs.pull_requests] == [("refs/pr/1", proposal)]
    assert api.model_info(REPO, revision="refs/pr/1").sha == proposal


def test_the_history_of_a_branch_is_listed_newest_first(hub: LocalHub, api: HfApi) -> None:
    """Three commits take two pages; a branch grows from main."""
    second = hub.push(REPO, FILES, message="Same files again")
    third = hub.push(REPO, FILES, ref="next", message="On a branch")

    commits = api.list_repo_commits(REPO, revision="next")

    assert [commit.commit_id for commit in commits[:2]] == [third, second]
    assert [commit.title for commit in commits] == [
        "On a branch",
        "Same files again",
        "Upload tiny",
    ]
    assert commits[-1].message == "It is very small."
    assert len(api.list_repo_commits(REPO)) == 2


def test_models_are_found_by_author_and_by_words(hub: LocalHub, api: HfApi) -> None:
    """Listing pages through all; author and search narrow it down."""
    for repo_id in ("acme/tiny-chat", "other/tiny"):
        hub.push(repo_id, {"config.json": b"{}"})

    def found(**query: str) -> list[str]:
        return [model.id for model in api.list_models(**query)]

    assert found() == ["acme/tiny", "acme/tiny-chat", "other/tiny"]
    assert found(author="acme") == ["acme/tiny", "acme/tiny-chat"]
    assert found(author="acme", search="CHAT") == ["acme/tiny-chat"]
    with pytest.raises(BadRequestError, match="listing models by filter"):
        found(filter="onnx")
