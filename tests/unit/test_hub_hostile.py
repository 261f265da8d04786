"""A mirror that lies: in the names of its listing, between two listings, and in what it sends."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slipway.errors import SourceRefused, StoreDamaged, Unreachable
from slipway.sources import hub
from slipway.sources.download import Download
from slipway.sources.hub_client import RepositoryAddress
from slipway.system.progress import silent
from slipway.values import HubSource
from slipway.values.paths import stays_inside
from tests.support.acme_models import (
    FAST,
    NEEDED,
    ONNX_REPO,
    REPO,
    contents,
    download_of,
    selecting,
)
from tests.support.hub import Answer, Fault, LocalHub, RunningHub

OUTSIDE = [
    "../genai_config.json",
    "cpu/../../genai_config.json",
    "/etc/genai_config.json",
    "cpu\\..\\genai_config.json",
    "C:/genai_config.json",
    "cpu//genai_config.json",
    "./genai_config.json",
    "",
    "cpu/\x1b[2Jgenai_config.json",
    "cpu\n/genai_config.json",
    "\ud83d/genai_config.json",
    "a/" * 300 + "genai_config.json",
]


def told(change: Callable[[dict[str, Any]], object]) -> Fault:
    """Change the description of a repository."""

    def spoil(answer: Answer) -> Answer:
        described = json.loads(answer.body)
        change(described)
        body = json.dumps(described).encode()
        return replace(answer, body=body, headers={"content-type": "application/json"})

    return spoil


def listed(path: str) -> dict[str, Any]:
    """Return a file of a listing."""
    return {"rfilename": path, "size": 2, "blobId": "9e26dfeeb6e641a33dae4961196235bdb965b21b"}


@pytest.mark.parametrize("path", OUTSIDE, ids=ascii)
def test_a_name_that_leads_out_of_a_folder_ends_every_reader_of_a_listing(
    running: RunningHub, source: HubSource, tmp_path: Path, path: str
) -> None:
    """Of weights, of variants and of a download: before any path is made of any name."""
    recipe, revision = selecting(running), hub.resolve(source)
    pinned = hub.resolve_published(revision, recipe).published[0]
    assert pinned is not None
    lie = told(lambda described: described["siblings"].append(listed(path)))
    running.faults.add(lie, "/api/models/*", count=None)
    readers: list[Callable[[], object]] = [
        lambda: hub.resolve(source),
        lambda: hub.resolve_published(revision, recipe),
        lambda: hub.published_variants(ONNX_REPO, "main", running.endpoint),
        lambda: hub.fetch(source, revision, tmp_path / "in" / "to", silent),
        lambda: hub.fetch_published(pinned, tmp_path / "in" / "to", silent),
    ]

    for read in readers:
        with pytest.raises(SourceRefused) as caught:
            read()
        assert caught.value.rule.startswith("not a path below ")
        assert str(caught.value).isprintable()
    assert [each.name for each in tmp_path.iterdir()] == ["hub"]


@pytest.mark.parametrize("path", OUTSIDE[:4])
def test_a_revision_that_names_a_place_outside_is_none(
    source: HubSource, running: RunningHub, tmp_path: Path, path: str
) -> None:
    """It may have come as a parameter, or from a cache; a download looks at its names again."""
    revision = hub.resolve(source)
    pinned = hub.resolve_published(revision, selecting(running)).published[0]
    assert pinned is not None
    for changed in (
        revision.model_dump() | {"paths": (path,)},
        revision.model_dump() | {"published": pinned.model_dump() | {"folder": "../up"}},
    ):
        with pytest.raises(ValueError, match="is not a path below a folder"):
            type(revision).model_validate(changed)

    address = RepositoryAddress(REPO, revision.commit, source.endpoint)
    with pytest.raises(SourceRefused):
        Download(address, (path,), revision.files_digest).write(tmp_path / "into")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("model.safetensors", True),
        ("a b/ü-1+2.json", True),
        (".gitattributes", True),
        ("..", False),
    ],
)
def test_ordinary_names_stay_inside(path: str, *, expected: bool) -> None:
    """Listings have hidden files and names in any language."""
    assert stays_inside(path) is expected


def test_a_listing_that_changes_at_one_commit_is_refused(
    acme: LocalHub, running: RunningHub, source: HubSource, tmp_path: Path
) -> None:
    """Other weights under the commit that was resolved are not what was looked at."""
    revision = hub.resolve(source)
    pinned = hub.resolve_published(revision, selecting(running)).published[0]
    assert pinned is not None
    swapped = dict(acme.repository(ONNX_REPO).resolve(pinned.commit).blobs)
    other = acme.push(REPO, NEEDED | {"tokenizer.json": b"[]", "README.md": b"another license"})
    blobs = acme.repository(REPO).resolve(other).blobs

    for path in ("tokenizer.json", "README.md"):
        before = acme.repository(REPO).commits[revision.commit]
        acme.repository(REPO).commits[revision.commit] = replace(
            before, blobs={**before.blobs, path: blobs[path]}
        )
        with pytest.raises(SourceRefused, match="not those that were resolved"):
            hub.fetch(source, revision, tmp_path / "into", silent)
        acme.repository(REPO).commits[revision.commit] = before
    swapped[f"{FAST}/model.onnx"] = blobs["tokenizer.json"]
    at_commit = acme.repository(ONNX_REPO).commits
    at_commit[pinned.commit] = replace(at_commit[pinned.commit], blobs=swapped)
    with pytest.raises(SourceRefused, match="not those that were resolved"):
        hub.fetch_published(pinned, tmp_path / "into", silent)

    hub.fetch(source, revision, tmp_path / "into", silent)
    assert contents(tmp_path / "into") == NEEDED


def test_a_configuration_that_changes_between_listing_and_download_decides_nothing(
    running: RunningHub, source: HubSource
) -> None:
    """It says which variant is selected."""
    weights = hub.resolve(source)
    running.faults.add(lambda answer: answer, f"/api/models/{ONNX_REPO}/*")
    running.faults.add(
        told(lambda described: [each.update(blobId="0" * 40) for each in described["siblings"]]),
        f"/api/models/{ONNX_REPO}/*",
    )

    with pytest.raises(SourceRefused, match="not those that were resolved"):
        hub.resolve_published(weights, selecting(running))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda told: told["siblings"][2].update(size=6_000_000), "5 MB are the limit"),
        (lambda told: told["siblings"].extend(map(listed, map(str, range(10_000)))), "10,000 are"),
        (lambda told: told.update(sha="main"), "'main' is no id of 40 hex digits"),
        (lambda told: told.update(siblings=7), "otherwise than a Hub does"),
        (lambda told: told["siblings"][0].update(rfilename=None), "otherwise than a Hub does"),
        (lambda told: told["siblings"][0].update(blobId="../../x"), "is no id of 40 hex digits"),
        (lambda told: told["siblings"].append(listed("adapter_config.json")), "an adapter names"),
    ],
    ids=["a size", "many files", "a commit", "no list", "no name", "an id", "an adapter"],
)
def test_a_description_of_another_form_is_refused_before_a_download(
    running: RunningHub, source: HubSource, change: Callable[[dict[str, Any]], object], rule: str
) -> None:
    """With its size, in one line, and never as an error of ours."""
    running.faults.add(told(change), "/api/models/*", count=None)

    with pytest.raises(SourceRefused) as caught:
        hub.resolve(source)

    assert rule in str(caught.value)
    assert not [each for each in running.requests if "/resolve/" in each.path]


def test_a_file_that_never_ends_is_cut_off(
    acme: LocalHub, running: RunningHub, source: HubSource, tmp_path: Path
) -> None:
    """What is listed with a few bytes does not fill the disk."""
    revision = hub.resolve(source)
    running.faults.add(
        lambda answer: replace(
            answer,
            body=answer.body * 2000,
            headers={**answer.headers, "content-length": str(len(answer.body) * 2000)},
        ),
        "*/config.json",
        method=None,
        count=None,
    )
    address = RepositoryAddress(REPO, revision.commit, source.endpoint)

    with pytest.raises((StoreDamaged, Unreachable)):
        download_of(address, NEEDED, wait_seconds=0.01).write(tmp_path / "into", tmp_path / "part")

    assert "config.json" not in contents(tmp_path / "part")


def test_what_a_server_says_of_an_error_cannot_move_the_cursor(
    running: RunningHub, source: HubSource
) -> None:
    """Its message is shown, and what does not print is escaped."""
    words = {"x-error-message": "\x1b[2Jgone"}
    running.faults.add(lambda _: Answer(500, words, b"\x1b[2J\x1b[2J"), "/api/models/*", count=None)

    with pytest.raises(Unreachable) as caught:
        hub.resolve(source)

    assert str(caught.value).isprintable()
