"""Of a repository with many artifacts, the needed files of one are fetched and no other."""

import json
from pathlib import Path
from typing import Any

import pytest

from slipway.errors import NoVariant, SourceRefused
from slipway.sources import hub
from slipway.system.progress import silent
from slipway.values import HubSource
from tests.support.acme_models import CARD, WEIGHTS, contents, selecting
from tests.support.hub import LocalHub, RunningHub, wrong_bytes

PHI = "acme/phi-3-mini-4k-instruct-onnx"
FAST = "cpu_and_mobile/cpu-int4-rtn-block-32-acc-level-4"
FOLDERS: dict[str, list[dict[str, Any]]] = {
    FAST: [],
    "cpu_and_mobile/cpu-int4-rtn-block-32": [],
    "cuda/cuda-fp16": [{"cuda": {}}],
    "cuda/cuda-int4-rtn-block-32": [{"cuda": {}}],
    "directml/directml-int4-awq-block-128": [{"dml": {}}],
}
SMALL = ("added_tokens.json", "config.json", "special_tokens_map.json", "tokenizer.json")
REST = ("tokenizer.model", "tokenizer_config.json")


def artifact(folder: str, options: list[dict[str, Any]]) -> dict[str, bytes]:
    """Return an artifact as the makers of Phi-3 publish it, by name."""
    graph = f"phi3-mini-4k-instruct-{folder.rpartition('/')[2]}.onnx"
    decoder = {"filename": graph, "session_options": {"provider_options": options}}
    return {
        "genai_config.json": json.dumps({"model": {"decoder": decoder}}).encode(),
        graph: b"graph of " + folder.encode(),
        f"{graph}.data": WEIGHTS,
        **{name: name.encode() for name in (*SMALL, *REST)},
    }


def repository() -> dict[str, bytes]:
    """Return a repository like that of Phi-3 mini: five artifacts, with code in each."""
    files = {"README.md": CARD, "LICENSE": b"MIT", "config.json": b"{}", "onnx/model.onnx": b"web"}
    for folder, options in FOLDERS.items():
        for name, content in artifact(folder, options).items():
            files[f"{folder}/{name}"] = content
        files[f"{folder}/configuration_phi3.py"] = b"print('hello')"
    return files


@pytest.fixture
def phi(acme: LocalHub) -> str:
    """Publish artifacts as the makers of Phi-3 do, and return the commit."""
    return acme.push(PHI, repository())


def asked_for(running: RunningHub) -> list[str]:
    """Return the paths of the requested files."""
    fetched = [asked for asked in running.requests if asked.method == "GET"]
    return sorted(
        asked.path.partition("/resolve/")[2].partition("/")[2]
        for asked in fetched
        if asked.path.startswith(f"/{PHI}/resolve/")
    )


def test_exactly_the_needed_files_are_fetched(
    phi: str, running: RunningHub, source: HubSource, tmp_path: Path
) -> None:
    """To choose, the five small configurations; then the files of one artifact, each once."""
    pinned = hub.resolve_published(hub.resolve(source), selecting(running, repo=PHI))
    before = asked_for(running)
    assert pinned.published

    hub.fetch_published(pinned.published[0], tmp_path / "into", silent)

    wanted = artifact(FAST, [])
    assert before == sorted(f"{folder}/genai_config.json" for folder in FOLDERS)
    assert asked_for(running) == sorted(
        [*before, "LICENSE", "README.md", *(f"{FAST}/{name}" for name in wanted)]
    )
    assert contents(tmp_path / "into") == wanted | {"LICENSE": b"MIT", "README.md": CARD}
    assert pinned.published[0].commit == phi


@pytest.mark.parametrize(
    ("recipe", "folder"),
    [
        ({"prefer": "accuracy"}, "cpu_and_mobile/cpu-int4-rtn-block-32"),
        ({"target": "cuda"}, "cuda/cuda-int4-rtn-block-32"),
        ({"target": "cuda", "precision": "fp16"}, "cuda/cuda-fp16"),
        ({"target": "dml"}, "directml/directml-int4-awq-block-128"),
        ({"folder": FAST}, FAST),
    ],
)
def test_a_recipe_pins_the_variant_that_it_asks_for(
    phi: str, running: RunningHub, source: HubSource, recipe: dict[str, str], folder: str
) -> None:
    """By each configuration; size and digest are those of its files."""
    weights = hub.resolve(source)

    pinned = hub.resolve_published(weights, selecting(running, repo=PHI, **recipe))

    wanted = {"README.md": CARD, "LICENSE": b"MIT"} | artifact(folder, FOLDERS[folder])
    assert pinned.published
    assert pinned.published[0].folder == folder
    assert pinned.published[0].size_bytes == sum(map(len, wanted.values()))
    assert pinned.digest != weights.digest


def test_the_configuration_is_that_of_the_pinned_commit(
    acme: LocalHub, phi: str, running: RunningHub, source: HubSource
) -> None:
    """A folder that was made for another device since has another configuration."""
    moved = artifact(FAST, [{"cuda": {}}])["genai_config.json"]
    acme.push(PHI, repository() | {f"{FAST}/genai_config.json": moved})

    def folder(ref: str) -> str | None:
        recipe = selecting(running, repo=PHI, ref=ref)
        published = hub.resolve_published(hub.resolve(source), recipe).published[0]
        return published.folder if published else None

    assert folder(phi) == FAST
    assert folder("main") == "cpu_and_mobile/cpu-int4-rtn-block-32"


def test_a_configuration_that_arrives_broken_decides_nothing(
    phi: str, running: RunningHub, source: HubSource
) -> None:
    """It is compared with the Hub's digest like every file, and requested again."""
    weights, recipe = hub.resolve(source), selecting(running, repo=PHI)
    order = running.faults.add(wrong_bytes, f"*/{FAST}/genai_config.json")

    pinned = hub.resolve_published(weights, recipe).published[0]

    assert order.met == 1
    assert pinned is not None
    assert pinned.folder == FAST


def test_an_incomplete_variant_is_refused_before_anything_is_fetched(
    acme: LocalHub, running: RunningHub, source: HubSource
) -> None:
    """The listing already shows that the tokenizer is missing."""
    files = repository()
    del files[f"{FAST}/tokenizer.json"]
    acme.push(PHI, files)

    with pytest.raises(SourceRefused, match=r"it needs tokenizer\.json in its folder"):
        hub.resolve_published(hub.resolve(source), selecting(running, repo=PHI))


def test_files_for_transformers_js_are_no_variant(
    acme: LocalHub, running: RunningHub, source: HubSource
) -> None:
    """Nothing at all is fetched of a repository without a genai_config.json."""
    acme.push(PHI, {"onnx/model_int4.onnx": WEIGHTS, "tokenizer.json": b"{}", "config.json": b"{}"})

    with pytest.raises(NoVariant) as caught:
        hub.resolve_published(hub.resolve(source), selecting(running, repo=PHI))

    assert caught.value.found == ()
    assert asked_for(running) == []


def test_what_a_repository_publishes_is_listed_with_its_commit(
    phi: str, running: RunningHub
) -> None:
    """Every folder with its target, in order; only configurations are fetched for it."""
    commit, found = hub.published_variants(PHI, "main", running.endpoint)

    assert commit == phi
    assert [(each.folder, each.target) for each in found] == [
        ("cpu_and_mobile/cpu-int4-rtn-block-32", "cpu"),
        (FAST, "cpu"),
        ("cuda/cuda-fp16", "cuda"),
        ("cuda/cuda-int4-rtn-block-32", "cuda"),
        ("directml/directml-int4-awq-block-128", "dml"),
    ]
    assert {path.rpartition("/")[2] for path in asked_for(running)} == {"genai_config.json"}
