"""A ref on the Hub becomes a pinned revision and verified files."""

import json
from pathlib import Path

import pytest

from slipway.errors import SourceMissing
from slipway.sources import hub
from slipway.system.progress import silent
from slipway.values import HubSource, Revision
from tests.support.acme_models import CARD, CONFIG, NEEDED, OTHERS, REPO, WEIGHTS, contents
from tests.support.hub import LocalHub, RunningHub


def test_a_branch_becomes_the_commit_that_it_names_now(acme: LocalHub, source: HubSource) -> None:
    """With license, size and the files of a checkpoint, from one request to the Hub."""
    revision = hub.resolve(source)

    assert revision.source == source
    assert revision.commit == acme.repository(REPO).resolve("main").id
    assert revision.paths == tuple(sorted(NEEDED))
    assert revision.size_bytes == sum(map(len, NEEDED.values()))
    assert revision.license == "mit"
    assert revision.name == f"{REPO}@{revision.commit[:8]}"


def test_tags_branches_and_commits_are_resolved(acme: LocalHub, source: HubSource) -> None:
    """Each names a commit, and a commit stays the same."""
    first = acme.repository(REPO).resolve("main").id
    acme.tag(REPO, "v1", first)
    second = acme.push(REPO, NEEDED | {"tokenizer.json": b"[]"})
    third = acme.push(REPO, NEEDED | {"tokenizer.json": b"3"}, ref="next")

    def commit(ref: str) -> str:
        return hub.resolve(source.model_copy(update={"ref": ref})).commit

    assert [commit(ref) for ref in ("v1", "main", "next", first)] == [first, second, third, first]


def test_a_readme_alone_changes_the_commit_and_not_the_digest(
    acme: LocalHub, source: HubSource
) -> None:
    """Nor does a file that is not used; every byte that is used does."""
    before = hub.resolve(source)

    def after(changes: dict[str, bytes]) -> Revision:
        acme.push(REPO, NEEDED | OTHERS | changes)
        return hub.resolve(source)

    card, other, weights, terms, added = (
        after({path: CARD + b"."})
        for path in (
            "README.md",
            "modeling_tiny.py",
            "model[1].safetensors",
            "LICENSE",
            "special_tokens_map.json",
        )
    )

    assert before.digest == card.digest == other.digest
    assert len({each.digest for each in (before, weights, terms, added)}) == 4
    assert len({each.commit for each in (before, card, other, weights, terms, added)}) == 6


def test_a_model_without_a_card_declares_no_licence(acme: LocalHub, source: HubSource) -> None:
    """An undeclared license is not guessed."""
    acme.push(REPO, {"model.safetensors": WEIGHTS})

    assert hub.resolve(source).license is None


def test_a_repository_without_any_file_of_a_checkpoint_is_refused(
    acme: LocalHub, source: HubSource
) -> None:
    """Before anything is fetched."""
    acme.push(REPO, OTHERS)

    with pytest.raises(SourceMissing) as caught:
        hub.resolve(source)

    text = f"a checkpoint in {REPO} was not found: name a repository with safetensors"
    assert str(caught.value) == text


def test_only_the_needed_files_are_downloaded(
    running: RunningHub, source: HubSource, tmp_path: Path
) -> None:
    """Other formats are not requested, even with similar names; the client leaves no files."""
    news: list[str] = []

    hub.fetch(source, hub.resolve(source), tmp_path / "into", lambda _, text: news.append(text))

    assert contents(tmp_path / "into") == NEEDED
    resolved = [asked.path for asked in running.requests if "/resolve/" in asked.path]
    assert {path.rpartition("/")[2] for path in resolved} == set(NEEDED)
    assert news[0].startswith(f"downloading {len(NEEDED)} files of {REPO}@")
    assert news[-1].startswith("downloading 0.0 of 0.0 MB, ")


def test_a_fetch_is_of_the_pinned_commit(acme: LocalHub, source: HubSource, tmp_path: Path) -> None:
    """A branch that moves in between changes nothing."""
    revision = hub.resolve(source)
    acme.push(REPO, NEEDED | {"model[1].safetensors": b"other weights"})

    hub.fetch(source, revision, tmp_path / "into", silent)

    assert contents(tmp_path / "into") == NEEDED


@pytest.mark.parametrize(
    ("architecture", "kept"), [("Phi3ForCausalLM", False), ("TinyForCausalLM", True)]
)
def test_a_pointer_to_code_is_dropped_where_transformers_has_the_code(
    acme: LocalHub, source: HubSource, tmp_path: Path, architecture: str, kept: bool
) -> None:
    """Phi-3's own repository has one; for an unknown model it stays, and validation refuses it."""
    config = CONFIG | {"architectures": [architecture], "hidden_size": 64}
    acme.push(REPO, NEEDED | {"config.json": json.dumps(config).encode()})

    hub.fetch(source, hub.resolve(source), tmp_path, silent)

    fetched = json.loads((tmp_path / "config.json").read_bytes())
    assert ("auto_map" in fetched) is kept
    assert CONFIG | fetched == config


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(b"{", id="not JSON"),
        pytest.param(b'["auto_map"]', id="a list"),
        pytest.param(b'{"auto_map": {}}', id="no architecture"),
        pytest.param(b'{"auto_map": {}, "architectures": []}', id="no architecture in the list"),
        pytest.param(b'{"auto_map": {}, "architectures": null}', id="null for an architecture"),
        pytest.param(None, id="missing"),
    ],
)
def test_an_incomplete_configuration_is_downloaded_unchanged(
    acme: LocalHub, source: HubSource, tmp_path: Path, config: bytes | None
) -> None:
    """Validation refuses it afterwards."""
    others = {path: content for path, content in NEEDED.items() if path != "config.json"}
    files = others | ({} if config is None else {"config.json": config})
    acme.push(REPO, files)

    hub.fetch(source, hub.resolve(source), tmp_path / "into", silent)

    assert contents(tmp_path / "into") == files
