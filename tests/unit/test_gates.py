"""A gate passes, fails or is inconclusive, and it never passes in doubt."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.evaluation import gates
from slipway.values import (
    METRICS,
    BuildResult,
    Estimate,
    Evaluation,
    Fidelity,
    GateLimits,
    Gates,
    GateState,
    Metric,
    Prediction,
    ScoredCandidate,
    VariantPrecision,
)
from tests.support.summaries import artifact, asked


def estimate(low: float, value: float, high: float) -> Estimate:
    """Return a figure with its interval."""
    return Estimate(value=value, low=low, high=high)


def states(
    limits: GateLimits, observed: Estimate | None, metric: Metric = "kl_mean", **bases: Any
) -> tuple[GateState, ...]:
    """Return the states of one figure's gates."""
    figures = {} if observed is None else {metric: observed}
    bases = {"source": {}, "champion": None} | bases
    return tuple(each.state for each in gates.weigh({metric: limits}, figures, **bases))


@pytest.mark.parametrize(
    ("observed", "state"),
    [
        pytest.param(estimate(0.01, 0.015, 0.02), "pass", id="the whole interval is within"),
        pytest.param(estimate(0.03, 0.04, 0.05), "fail", id="the whole interval is beyond"),
        pytest.param(estimate(0.01, 0.015, 0.021), "inconclusive", id="it straddles the limit"),
        pytest.param(None, "inconclusive", id="not measured"),
        pytest.param(estimate(math.nan, math.nan, math.nan), "inconclusive", id="NaN"),
        pytest.param(estimate(0.0, 0.01, math.inf), "inconclusive", id="infinite"),
        pytest.param(estimate(-1, 0.01, 0.02), "inconclusive", id="negative"),
        pytest.param(estimate(0.02, 0.01, 0.02), "inconclusive", id="outside its own interval"),
    ],
)
def test_a_figure_is_held_against_its_limit_with_its_whole_interval(
    observed: Estimate | None, state: GateState
) -> None:
    """The limit itself is still allowed, and what cannot have been measured says nothing."""
    assert states(GateLimits(max=0.02), observed) == (state,)


@pytest.mark.parametrize(("value", "state"), [(0.95, "pass"), (0.9, "pass"), (0.89, "fail")])
def test_a_least_value_is_a_limit_from_below(value: float, state: GateState) -> None:
    """A share of equal tokens has to be large."""
    limits = GateLimits(min=0.9)

    assert states(limits, Estimate.exact(value), "top1_agreement") == (state,)


@pytest.mark.parametrize(
    ("metric", "value", "state"),
    [
        ("size_bytes", 110, "pass"),
        ("size_bytes", 111, "fail"),
        ("tokens_per_second", 90, "pass"),
        ("tokens_per_second", 89, "fail"),
    ],
)
def test_a_degradation_is_a_share_of_the_base_in_the_direction_that_is_worse(
    metric: Metric, value: float, state: GateState
) -> None:
    """A size may grow by a tenth of the source's, and a speed may fall by a tenth."""
    limits = GateLimits(max_degradation_vs_source=0.1)
    source = {metric: Estimate.exact(100)}

    assert states(limits, Estimate.exact(value), metric, source=source) == (state,)


@pytest.mark.parametrize(
    ("metric", "limits", "value", "state"),
    [
        pytest.param("perplexity_ratio", {"min": 0.95}, 0.5, "inconclusive", id="implausibly good"),
        pytest.param("perplexity_ratio", {"min": 0.95}, 0.96, "pass", id="a little better"),
        pytest.param("top1_agreement", {"max": 0.9}, 1, "inconclusive", id="the other direction"),
        pytest.param("answer_length_ratio", {"min": 0.67}, 0.5, "fail", id="too short is worse"),
        pytest.param("answer_length_ratio", {"max": 1.5}, 2, "fail", id="so is too long"),
    ],
)
def test_a_figure_may_be_too_good(
    metric: Metric, limits: dict[str, Any], value: float, state: GateState
) -> None:
    """Then it is no fault of the candidate, but something else was measured."""
    assert states(GateLimits(**limits), Estimate.exact(value), metric) == (state,)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "int4"])
def test_half_of_the_sources_perplexity_passes_in_no_precision(
    precision: VariantPrecision,
) -> None:
    """docs/gates.md has a fault that made it a hundredth."""
    limits = gates.limits_for(Gates(), precision)["perplexity_ratio"]

    assert states(limits, Estimate.exact(0.5), "perplexity_ratio") == ("pass", "inconclusive")


@pytest.mark.parametrize("metric", ["lost_prompts", "lost_questions"])
@pytest.mark.parametrize("limits", [{"min": 0.1}, {"max": 5}, {"max_degradation_vs_source": 0.1}])
def test_losses_have_a_margin_alone(limits: Any, metric: str) -> None:
    """Champion and source are what they are lost against."""
    with pytest.raises(ValueError, match=metric):
        Gates(**{metric: limits})


@pytest.mark.parametrize("metric", ["load_seconds", "decode_tokens_per_second"])
def test_no_speed_is_compared_with_one_of_another_day(metric: str) -> None:
    """The error names the figure that is measured beside the champion."""
    with pytest.raises(ValueError, match="another day; limit champion_speed_ratio"):
        Gates.model_validate({metric: {"max_degradation_vs_champion": 0.5}})


def test_a_first_release_has_no_champion_to_be_compared_with() -> None:
    """Nothing serves that could be better, so there is no such gate."""
    limits = GateLimits(max=1, max_degradation_vs_champion=0.1)

    assert states(limits, Estimate.exact(0.5)) == ("pass",)


def test_a_champion_whose_figure_is_unknown_leaves_the_gate_open() -> None:
    """A version from before the figure was measured cannot show that it is no better."""
    limits = GateLimits(max_degradation_vs_champion=0.1)

    assert states(limits, Estimate.exact(0.5), champion={}) == ("inconclusive",)


def test_several_limits_of_one_figure_are_weighed_apart() -> None:
    """Each says its own rule, so that a reader sees which one did not hold."""
    limits = GateLimits(max=1000, max_degradation_vs_source=0.1, max_degradation_vs_champion=0.5)
    bases = {"source": {"size_bytes": Estimate.exact(500)}, "champion": {}}

    results = gates.weigh({"size_bytes": limits}, {"size_bytes": Estimate.exact(800)}, **bases)

    assert [(each.rule, each.state) for each in results] == [
        ("at most 1 kB", "pass"),
        ("at most 10 % above the source (550 Bytes)", "fail"),
        ("at most 50 % above the champion", "inconclusive"),
    ]


@pytest.mark.parametrize("metric", ["compared_tokens", "answered_prompts"])
def test_too_few_samples_are_a_doubt_and_no_fault(metric: Metric) -> None:
    """Measuring more could still show that the candidate is good."""
    assert states(GateLimits(min=12), Estimate.exact(3), metric) == ("inconclusive",)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "int4"])
def test_every_precision_has_limits_and_an_entry_replaces_them_one_by_one(
    precision: VariantPrecision,
) -> None:
    """Empty limits lift a default; the others stay as they are."""
    defaults = gates.limits_for(Gates(), precision)
    own = Gates(kl_mean=GateLimits(max=7), perplexity_ratio=GateLimits())

    limits = gates.limits_for(own, precision)

    assert {"kl_mean", "top1_agreement", "perplexity_ratio", "broken_positions"} <= set(defaults)
    assert limits == defaults | own.limits
    assert "perplexity_ratio" not in gates.rules_in_words(limits)


def test_the_catalogues_gates_are_the_figures_that_can_be_measured() -> None:
    """One name each, in the same order."""
    assert tuple(Gates.model_fields) == METRICS


def test_broken_logits_are_a_fault_of_their_own() -> None:
    """With a single NaN the other figures are unknown, and the reason is not lost among them."""
    broken = Fidelity(
        tokens=5000,
        broken=1,
        kl_mean=None,
        kl_p99=None,
        top1_agreement=None,
        perplexity_ratio=None,
        first_divergence_tokens=None,
        max_logit_difference=None,
        kl_by_group={},
    )
    built = BuildResult(variant="cpu-int8", precision="int8", artifact=artifact())
    evaluation = Evaluation(built=built, fidelity=broken, speed=None)

    found = gates.score(evaluation, Gates(), source={}, champion=None)

    states = {each.metric: each.state for each in found.gates}
    assert states["broken_positions"] == "fail"
    assert states["kl_mean"] == "inconclusive"
    assert not found.passes


def test_what_was_not_built_is_not_weighed_and_does_not_pass() -> None:
    """It has a reason instead."""
    built = BuildResult(variant="cpu-int8", precision="int8", artifact=None, reason="no memory")
    evaluation = Evaluation(built=built, fidelity=None, speed=None)

    found = gates.score(evaluation, Gates(), source={}, champion=None)

    assert found == ScoredCandidate(evaluation=evaluation, gates=())
    assert not found.passes


def test_what_cannot_run_here_passes_only_if_the_entry_accepts_that() -> None:
    """Then the gates are those of the figures that are known without running it."""
    built = BuildResult(variant="cuda-int4", precision="int4", artifact=artifact())
    evaluation = Evaluation(
        built=built, fidelity=None, speed=None, reason="made for cuda", runs_here=False
    )
    size = {"size_bytes": Estimate.exact(1e12)}

    refused = gates.score(evaluation, Gates(), source=size, champion=None)
    accepted = gates.score(evaluation, Gates(), source=size, champion=None, accept_unmeasured=True)

    assert not refused.passes
    assert (accepted.passes, accepted.accepted) == (True, "made for cuda")
    assert [gate.metric for gate in accepted.gates] == ["size_bytes"]
    measured = evaluation.model_copy(update={"runs_here": True})
    crashed = gates.score(measured, Gates(), source=size, champion=None, accept_unmeasured=True)
    assert not crashed.passes


def test_the_smoke_test_adds_figures_of_what_was_answered() -> None:
    """A call that raised tells nothing about speed."""
    answered = tuple(Prediction(prompt_id="a", response='"x"', latency_ms=ms) for ms in (1, 7, 9))
    failed = Prediction(prompt_id="b", response=None, latency_ms=999, error="ValueError: no")

    report = asked("onnx", predictions=(*answered, failed), tokens_per_second=5.0)

    assert gates.smoke_figures(report) == {
        "answered_prompts": Estimate.exact(3),
        "median_latency_ms": Estimate.exact(7),
        "tokens_per_second": Estimate.exact(5),
    }


@pytest.mark.parametrize("impossible", [math.nan, -1.0, math.inf])
def test_one_impossible_latency_makes_their_median_say_nothing(impossible: float) -> None:
    """A median would hide it."""
    times = (5.0, impossible, 5.0)
    predictions = tuple(
        Prediction(prompt_id="a", response='"x"', latency_ms=each) for each in times
    )

    assert "median_latency_ms" not in gates.smoke_figures(asked("onnx", predictions=predictions))


ANY = st.floats()
BOUND = st.floats(min_value=0, max_value=1e6)


@given(low=ANY, value=ANY, high=ANY, most=BOUND)
def test_a_gate_passes_only_what_is_within_its_limit_for_certain(
    low: float, value: float, high: float, most: float
) -> None:
    """Whatever figures come: a pass means that the whole interval keeps the limit."""
    (state,) = states(GateLimits(max=most), estimate(low, value, high))

    certain = 0 <= low <= value <= high <= most
    assert (state == "pass") == certain


@given(value=BOUND, base=BOUND, share=st.floats(min_value=0, max_value=1))
def test_what_is_as_good_as_its_base_always_passes(value: float, base: float, share: float) -> None:
    """No degradation is within any share."""
    limits = GateLimits(max_degradation_vs_source=share)
    better = Estimate.exact(min(value, base))

    assert states(limits, better, source={"kl_mean": Estimate.exact(base)}) == ("pass",)
