"""Which files of a checkpoint, which way to quantize."""

from typing import Any, Literal

import pytest
from dossiers import artifact, stored

from slipway import choose, gates
from slipway.errors import NothingBuilt
from slipway.values import (
    Attempt,
    Contender,
    Estimate,
    Fidelity,
    Limits,
    Metric,
    Quantization,
    Speed,
    Trial,
)

PARAMETERS = 1_000_000_000
K_QUANT = Quantization(precision="int4", method="k_quant")
RTN = Quantization(precision="int8")
SPEED = Speed(
    load_seconds=1,
    time_to_first_token_ms=100,
    prefill_tokens_per_second=100,
    decode_tokens_per_second=10,
    peak_memory_bytes=10**9,
    prompt_tokens=128,
    new_tokens=32,
    rounds=3,
)
FIDELITY = Fidelity(
    tokens=5000,
    broken=0,
    kl_mean=Estimate.exact(0.01),
    kl_p99=Estimate.exact(0.1),
    top1_agreement=Estimate.exact(0.95),
    perplexity_ratio=Estimate.exact(1.01),
    first_divergence_tokens=Estimate.exact(20),
    max_logit_difference=Estimate.exact(1),
    kl_by_group={},
)


def test_a_checkpoint_is_the_files_that_transformers_loads() -> None:
    """Other formats of the same weights, code and what lies in folders stay where they are."""
    paths = choose.checkpoint_files(
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


def contender(name: str, **figures: Any) -> Contender:
    """Return a candidate that was built, measured and weighed.

    Args:
        name: What it is called.
        **figures: ``state`` of its gate, ``kl``, ``size_bytes``, ``speed``; ``reason`` instead
            makes one that was not built.
    """
    if reason := figures.get("reason"):
        attempt = Attempt(variant=name, precision="int4", artifact=None, reason=reason)
        return Contender(trial=Trial(attempt=attempt, fidelity=None, speed=None), gates=())
    made = artifact(variant=name, stored=stored("model.onnx", figures.get("size_bytes", 100)))
    trial = Trial(
        attempt=Attempt(variant=name, precision="int4", artifact=made),
        fidelity=FIDELITY.model_copy(update={"kl_mean": Estimate.exact(figures.get("kl", 0.01))}),
        speed=SPEED.model_copy(update={"decode_tokens_per_second": figures.get("speed", 10.0)}),
    )
    limits: dict[Metric, Limits] = {
        "kl_mean": Limits(max=0.1 if figures.get("state", "pass") == "pass" else 0)
    }
    return Contender(
        trial=trial, gates=gates.weigh(limits, trial.figures, source={}, champion=None)
    )


@pytest.mark.parametrize(
    ("prefer", "chosen"),
    [("first", "first"), ("smallest", "small"), ("fastest", "fast")],
)
def test_the_preferred_one_of_those_that_pass_goes_on(
    prefer: Literal["first", "smallest", "fastest"], chosen: str
) -> None:
    """A refused one may be the best in every other way; it does not count."""
    contenders = (
        contender("refused", state="fail", size_bytes=1, speed=999.0),
        contender("first"),
        contender("small", size_bytes=50),
        contender("fast", speed=50.0),
    )

    choice = choose.candidate(contenders, prefer)

    assert choice.variant == chosen
    assert choice.reason == f"the {prefer} of the 3 that pass their gates, of 4"
    assert choice.contenders == contenders


def test_equals_keep_the_recipes_order() -> None:
    """So the same recipe always gives the same artifact."""
    assert choose.candidate((contender("b"), contender("a")), "smallest").variant == "b"


def test_one_that_could_not_be_built_is_a_row_and_not_the_end() -> None:
    """The others are weighed as if it were not there."""
    contenders = (contender("big", reason="ended for memory"), contender("small"))

    choice = choose.candidate(contenders, "first")

    assert (choice.variant, choice.reason) == ("small", "the only one of 2 that passes its gates")


def test_if_none_passes_the_closest_to_its_source_goes_on_to_be_reported() -> None:
    """Its gates keep it from being promoted, and people see how it answers."""
    contenders = (
        contender("word-salad", state="fail", kl=3.0),
        contender("near", state="fail", kl=0.2),
    )

    choice = choose.candidate(contenders, "first")

    assert choice.variant == "near"
    assert choice.reason == "none passes its gates; this one is closest to its source"
    assert not choice.chosen.passes


def test_if_none_was_built_every_reason_is_told() -> None:
    """There is nothing to go on with."""
    contenders = (contender("a", reason="no memory"), contender("b", reason="crashed"))

    with pytest.raises(NothingBuilt) as caught:
        choose.candidate(contenders, "first")

    assert caught.value.reasons == ("a: no memory", "b: crashed")


def test_a_slower_method_takes_more_memory() -> None:
    """Known before anything is started."""
    needs = [choose.build_memory_bytes(each, PARAMETERS) for each in (RTN, K_QUANT)]

    assert needs == [12 * 10**9, 18 * 10**9]
