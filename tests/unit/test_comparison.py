"""Two releases are compared by what they are made of and by their figures."""

import json
from pathlib import Path

import pytest

from slipway.report import comparison
from slipway.tracking import manifest as manifest_module
from slipway.values import (
    Artifact,
    Change,
    Estimate,
    Figures,
    FileEntry,
    Manifest,
    Metric,
    Stored,
    Weights,
)
from tests.support.findings import COMMIT
from tests.support.scored_candidates import built
from tests.support.summaries import weights

TOOLS = {"torch": "2.13.0", "transformers": "5.22.1"}


def manifest(**fields: object) -> Manifest:
    """Return what a release was made of, with some of it otherwise."""
    usual = {
        "repo": "org/model",
        "commit": COMMIT,
        "license": "mit",
        "chat_template_digest": "ab" * 32,
        "variant": "cpu-int8",
        "settings": {"config.json: rope_theta": "10000", "config.json: vocab_size": "512"},
        "weights": {"config.json": "01" * 32, "model.safetensors": "02" * 32},
        "artifact": {"model.onnx": "03" * 32},
        "tools": TOOLS,
    }
    return Manifest.model_validate(usual | fields)


def folder(path: Path, texts: dict[str, str]) -> Stored:
    """Return a folder of the store with these files."""
    path.mkdir()
    for name, text in texts.items():
        (path / name).write_text(text, encoding="utf-8")
    files = tuple(
        FileEntry(path=name, size_bytes=len(text), sha256=f"{index:064x}")
        for index, (name, text) in enumerate(sorted(texts.items()))
    )
    return Stored(key=path.name, folder=path, files=files)


def made(path: Path) -> tuple[Weights, Artifact]:
    """Return weights and an artifact whose configuration lies on disk."""
    config = {"model_type": "phi3", "rope": {"type": "linear", "factors": [1, 2]}, "empty": {}}
    source = folder(path / "weights", {"config.json": json.dumps(config), "README.md": "hello"})
    genai = {"model": {"context_length": 4096}}
    result = folder(path / "artifact", {"genai_config.json": json.dumps(genai)})
    return (
        weights().model_copy(update={"stored": source}),
        built("cpu-int8", 1, 1).model_copy(update={"stored": result}),
    )


def test_nothing_changed_is_no_change() -> None:
    """The same files, made by the same tools."""
    assert comparison.manifest_changes(manifest(), manifest()) == ()


def test_every_kind_of_change_is_named_with_both_sides() -> None:
    """Origin, license, template, candidate, settings, tools and files, in this order."""
    after = manifest(
        commit="f" * 40,
        license=None,
        chat_template_digest="cd" * 32,
        variant="cpu-int4",
        settings={"config.json: rope_theta": "500000", "config.json: vocab_size": "512"},
        tools=TOOLS | {"torch": "2.14.0"},
        weights={"config.json": "11" * 32, "model-1.safetensors": "02" * 32},
        artifact={"model.onnx": "13" * 32},
    )

    assert comparison.manifest_changes(manifest(), after) == (
        Change(what="commit", before=COMMIT[:12], after="f" * 12),
        Change(what="license", before="mit", after=None),
        Change(what="chat template", before="ab" * 6, after="cd" * 6),
        Change(what="candidate", before="cpu-int8", after="cpu-int4"),
        Change(what="config.json: rope_theta", before="10000", after="500000"),
        Change(what="tools: torch", before="2.13.0", after="2.14.0"),
        Change(what="weights: model.safetensors", before="02" * 6, after=None),
        Change(what="weights: model-1.safetensors", before=None, after="02" * 6),
        Change(what="artifact: model.onnx", before="03" * 6, after="13" * 6),
    )


def test_a_configuration_that_was_only_written_otherwise_is_listed_as_a_file() -> None:
    """Its bytes are not the same, and that no entry tells why must not hide it."""
    after = manifest(weights={"config.json": "11" * 32, "model.safetensors": "02" * 32})

    (change,) = comparison.manifest_changes(manifest(), after)

    assert change == Change(what="weights: config.json", before="01" * 6, after="11" * 6)


def test_a_release_without_a_manifest_is_said_to_be_one() -> None:
    """An older release has none, and the comparison says so."""
    (change,) = comparison.manifest_changes(None, manifest())

    assert change == Change(what="manifest", before="not recorded", after="recorded")


def test_a_manifest_holds_what_shaped_a_release(tmp_path: Path) -> None:
    """Settings by their path in the file, files by their digest; no path of this machine."""
    source, result = made(tmp_path)

    found = manifest_module.of(source, result, TOOLS)

    assert found.settings == {
        "config.json: model_type": '"phi3"',
        "config.json: rope.type": '"linear"',
        "config.json: rope.factors": "[1, 2]",
        "config.json: empty": "{}",
        "genai_config.json: model.context_length": "4096",
    }
    assert found.weights == {"README.md": f"{0:064x}", "config.json": f"{1:064x}"}
    assert (found.variant, found.license, found.tools) == ("cpu-int8", "apache-2.0", TOOLS)
    assert str(tmp_path) not in found.model_dump_json()
    assert Manifest.model_validate_json(found.model_dump_json()) == found


def figure(value: float, low: float, high: float) -> Figures:
    """Return one figure with its interval."""
    return {"kl_mean": Estimate(value=value, low=low, high=high)}


@pytest.mark.parametrize(
    ("before", "after", "trend"),
    [
        pytest.param(figure(0.2, 0.19, 0.21), figure(0.1, 0.09, 0.11), "better", id="nearer"),
        pytest.param(figure(0.1, 0.09, 0.11), figure(0.2, 0.19, 0.21), "worse", id="farther"),
        pytest.param(
            figure(0.1, 0.09, 0.11), figure(0.105, 0.095, 0.115), "within the interval", id="chance"
        ),
        pytest.param(figure(0.1, 0.1, 0.1), figure(0.1, 0.1, 0.1), "equal", id="equal"),
        pytest.param({}, figure(0.1, 0.1, 0.1), "not comparable", id="new"),
    ],
)
def test_a_difference_counts_only_beyond_both_intervals(
    before: Figures, after: Figures, trend: str
) -> None:
    """What may be chance is not called better or worse."""
    (step,) = comparison.figure_changes(before, after)

    assert step.trend == trend


@pytest.mark.parametrize(
    ("metric", "after", "trend"),
    [
        ("tokens_per_second", 12.0, "better"),
        ("tokens_per_second", 10.1, "too small to tell"),
        ("median_latency_ms", 12.0, "worse"),
        ("median_latency_ms", 9.9, "too small to tell"),
        ("size_bytes", 9.9, "better"),
        ("compared_tokens", 10.1, "different"),
        ("compared_tokens", 20.0, "different"),
    ],
)
def test_a_figure_is_better_only_where_it_can_be(metric: Metric, after: float, trend: str) -> None:
    """Figures differ in which direction is good; a count has none, and timings vary."""
    sides: list[Figures] = [{metric: Estimate.exact(value)} for value in (10.0, after)]

    (step,) = comparison.figure_changes(*sides)

    assert (step.trend, step.share) == (trend, pytest.approx(after / 10 - 1))
