"""An ONNX artifact that somebody publishes is found, pinned, and fetched as one flat folder."""

from pathlib import Path

import pytest

from slipway.errors import NoVariant
from slipway.sources import hub, hub_client
from slipway.system.progress import silent
from slipway.values import HubSource, Published
from tests.support.acme_models import ARTIFACT, FAST, ONNX_REPO, SELECTED, SLOW, contents, selecting
from tests.support.hub import LocalHub, RunningHub


def test_a_published_variant_is_pinned_beside_the_weights(
    acme: LocalHub, running: RunningHub, source: HubSource
) -> None:
    """Both commits are known before anything is fetched, and both are in the digest."""
    weights = hub.resolve(source)

    pinned = hub.resolve_published(weights, selecting(running))

    assert pinned.published
    assert pinned.published[0].commit == acme.repository(ONNX_REPO).resolve("main").id
    paths = [f"{FAST}/{name}" for name in ARTIFACT]
    assert pinned.published[0].paths == tuple(sorted(["README.md", *paths]))
    assert pinned.published[0].size_bytes == sum(map(len, SELECTED.values()))
    assert (pinned.commit, pinned.paths) == (weights.commit, weights.paths)
    assert pinned.digest != weights.digest


def test_the_digest_follows_the_published_files_that_are_used(
    acme: LocalHub, running: RunningHub, source: HubSource
) -> None:
    """A new card, or a new variant for somebody else's machine, is no new release."""
    weights = hub.resolve(source)

    def digest(changes: dict[str, bytes]) -> str:
        files = {f"{FAST}/{name}": content for name, content in ARTIFACT.items()}
        acme.push(ONNX_REPO, files | changes)
        return hub.resolve_published(weights, selecting(running)).digest

    assert digest({}) == digest({"README.md": b"new"}) == digest({"cuda/cuda-int4/model.onnx": b""})
    assert digest({}) != digest({f"{FAST}/model.onnx": b"new"})


def test_a_published_variant_is_fetched_without_its_folders(
    running: RunningHub, source: HubSource, tmp_path: Path
) -> None:
    """The runtime gets one flat folder: no code, no other variant, no empty folders."""
    pinned = hub.resolve_published(hub.resolve(source), selecting(running))
    assert pinned.published

    hub.fetch_published(pinned.published[0], tmp_path / "into", silent)

    assert contents(tmp_path / "into") == SELECTED
    assert sorted(path.name for path in (tmp_path / "into").iterdir()) == sorted(SELECTED)


def test_a_published_variant_in_the_root_is_fetched_as_it_is(
    acme: LocalHub, source: HubSource, tmp_path: Path
) -> None:
    """There is nothing to flatten."""
    commit = acme.push(ONNX_REPO, ARTIFACT)
    published = Published(
        repo=ONNX_REPO,
        commit=commit,
        endpoint=source.endpoint,
        folder="",
        paths=tuple(ARTIFACT),
        size_bytes=1,
        files_digest=hub_client.info(ONNX_REPO, commit, source.endpoint).digest(ARTIFACT),
    )

    hub.fetch_published(published, tmp_path / "into", silent)

    assert contents(tmp_path / "into") == ARTIFACT


def test_an_unpublished_precision_lists_the_published_ones(
    running: RunningHub, source: HubSource
) -> None:
    """Nothing else is taken instead."""
    with pytest.raises(NoVariant) as caught:
        hub.resolve_published(hub.resolve(source), selecting(running, precision="int8"))

    assert [each.partition(" ")[0] for each in caught.value.found] == sorted((FAST, SLOW))
