"""The preferred candidate of those that pass their gates is selected."""

from typing import Any, Literal

import pytest

from slipway.build import onnx
from slipway.errors import NothingBuilt
from slipway.evaluation import gates, selection
from slipway.validation import names
from slipway.values import (
    BuildResult,
    Evaluation,
    GateLimits,
    Metric,
    Quantization,
    ScoredCandidate,
)
from tests.support.scored_candidates import fidelity, speed
from tests.support.summaries import artifact, stored

PARAMETERS = 1_000_000_000
K_QUANT = Quantization(precision="int4", method="k_quant")
RTN = Quantization(precision="int8")


def test_a_checkpoint_is_the_files_that_transformers_loads() -> None:
    """Other formats of the same weights, code and what lies in folders stay where they are."""
    paths = names.checkpoint_files(
        (
            "tokenizer.json",
            "model.safetensors",
            "config.json",
            "LICENSE",
            "README.md",
            "chat_template.jinja",
            "tokenizer.model",
            "merges.txt",
            "consolidated.safetensors",
            "consolidated.00.pth",
            "pytorch_model.bin",
            "modeling_tiny.py",
            "model.onnx",
            "model.onnx.data",
            "onnx/model.safetensors",
            ".gitattributes",
        )
    )

    assert paths == (
        "LICENSE",
        "README.md",
        "chat_template.jinja",
        "config.json",
        "merges.txt",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer.model",
    )


def candidate(name: str, **figures: Any) -> ScoredCandidate:
    """Return a candidate that was built, measured and scored.

    Args:
        name: What it is called.
        **figures: ``state`` of its gate, ``kl``, ``size_bytes``, ``speed``; ``reason`` instead
            makes one that was not built.
    """
    if reason := figures.get("reason"):
        built = BuildResult(variant=name, precision="int4", artifact=None, reason=reason)
        return ScoredCandidate(
            evaluation=Evaluation(built=built, fidelity=None, speed=None), gates=()
        )
    made = artifact(variant=name, stored=stored("model.onnx", figures.get("size_bytes", 100)))
    evaluation = Evaluation(
        built=BuildResult(variant=name, precision="int4", artifact=made),
        fidelity=fidelity((figures.get("kl", 0.01),) * 3, (0.95,) * 3, 1.01),
        speed=speed(figures.get("speed", 10.0)),
    )
    limits: dict[Metric, GateLimits] = {
        "kl_mean": GateLimits(max=0.1 if figures.get("state", "pass") == "pass" else 0)
    }
    return ScoredCandidate(
        evaluation=evaluation,
        gates=gates.weigh(limits, evaluation.figures, source={}, champion=None),
    )


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [("first", "first"), ("smallest", "small"), ("fastest", "fast")],
)
def test_the_preferred_one_of_those_that_pass_goes_on(
    prefer: Literal["first", "smallest", "fastest"], expected: str
) -> None:
    """One that fails a gate may be the best in every other way; it is not selected."""
    candidates = (
        candidate("failed", state="fail", size_bytes=1, speed=999.0),
        candidate("first"),
        candidate("small", size_bytes=50),
        candidate("fast", speed=50.0),
    )

    selected = selection.select(candidates, prefer)

    assert selected.variant == expected
    assert selected.reason == f"the {prefer} of the 3 that pass their gates, of 4"
    assert selected.candidates == candidates


@pytest.mark.parametrize(
    ("weight", "expected"),
    [(0.0, "small"), (0.3, "small"), (0.5, "middle"), (0.9, "fast"), (1.0, "fast")],
)
def test_a_balance_of_size_and_speed_is_stated(weight: float, expected: str) -> None:
    """No other candidate is both smaller and faster than the one that is selected."""
    candidates = (
        candidate("beaten", size_bytes=90, speed=30.0),
        candidate("small", size_bytes=50, speed=20.0),
        candidate("middle", size_bytes=80, speed=40.0),
        candidate("fast", size_bytes=160, speed=60.0),
    )

    selected = selection.select(candidates, "pareto", weight)

    assert selected.variant == expected
    balance = f"best balance of size and speed (speed counts {weight:.0%})"
    assert selected.reason == f"the {balance} of the 4 that pass their gates, of 4"


def test_a_candidate_without_a_speed_is_not_the_best_balance() -> None:
    """Unless speed counts nothing."""
    candidates = (candidate("unmeasured", size_bytes=1, speed=0.0), candidate("measured"))

    assert selection.select(candidates, "pareto", 0.5).variant == "measured"
    assert selection.select(candidates, "pareto", 0.0).variant == "unmeasured"


def test_equals_keep_the_recipes_order() -> None:
    """So the same recipe always gives the same artifact."""
    assert selection.select((candidate("b"), candidate("a")), "smallest").variant == "b"


def test_one_that_could_not_be_built_is_a_row_and_not_the_end() -> None:
    """The others are selected from as if it were not there."""
    candidates = (candidate("big", reason="ended for memory"), candidate("small"))

    selected = selection.select(candidates, "first")

    assert (selected.variant, selected.reason) == (
        "small",
        "the only one of 2 that passes its gates",
    )


def test_if_none_passes_the_closest_to_its_source_goes_on_to_be_reported() -> None:
    """Its gates keep it from being promoted, and people see how it answers."""
    candidates = (
        candidate("word-salad", state="fail", kl=3.0),
        candidate("near", state="fail", kl=0.2),
    )

    selected = selection.select(candidates, "first")

    assert selected.variant == "near"
    assert selected.reason == "none passes its gates; this one is closest to its source"
    assert not selected.chosen.passes


def test_if_none_was_built_every_reason_is_told() -> None:
    """There is nothing to go on with."""
    candidates = (candidate("a", reason="no memory"), candidate("b", reason="crashed"))

    with pytest.raises(NothingBuilt) as caught:
        selection.select(candidates, "first")

    assert caught.value.reasons == ("a: no memory", "b: crashed")


def test_a_slower_method_takes_more_memory() -> None:
    """Known before anything is started."""
    needs = [onnx.build_memory_bytes(each, PARAMETERS) for each in (RTN, K_QUANT)]

    assert needs == [12 * 10**9, 18 * 10**9]
