"""Compares figures with their limits. Pure; a gate in doubt does not pass.

The vocabulary is that of Olive's goals (threshold, max-degradation, percent-max-degradation, see
https://microsoft.github.io/Olive/reference/options.html), with two additions: a limit relative to
the champion, and the state ``inconclusive`` for a figure whose interval includes its limit.
"""

import math
from collections.abc import Iterator, Mapping
from statistics import median
from typing import NamedTuple

from slipway.evaluation import units
from slipway.values import (
    HIGHER_IS_BETTER,
    METRICS,
    Answers,
    Estimate,
    Evaluation,
    Figures,
    GateLimits,
    GateResult,
    Gates,
    GateState,
    Metric,
    ScoredCandidate,
    Severity,
    VariantPrecision,
    WrapperReport,
)

#: Figures that only the smoke test knows.
SMOKE_METRICS: frozenset[Metric] = frozenset(
    {"answered_prompts", "median_latency_ms", "tokens_per_second"}
)

#: Counts of samples: too few are inconclusive, since more of them may still pass.
_SAMPLES: frozenset[Metric] = frozenset({"compared_tokens", "answered_prompts"})

_ANY_PRECISION: dict[Metric, GateLimits] = {
    "compared_tokens": GateLimits(min=4000),
    "broken_positions": GateLimits(max=0),
    "size_bytes": GateLimits(max_degradation_vs_source=0.1),
    "decode_tokens_per_second": GateLimits(max_degradation_vs_champion=0.5, severity="warning"),
    "answered_prompts": GateLimits(min=12),
    "median_latency_ms": GateLimits(max=30_000),
    "tokens_per_second": GateLimits(min=1),
}

#: Defaults by precision; docs/catalogue.md gives the reasons.
_BY_PRECISION: dict[VariantPrecision, dict[Metric, GateLimits]] = {
    "fp32": {
        "kl_mean": GateLimits(max=1e-6),
        "top1_agreement": GateLimits(min=0.995),
        "perplexity_ratio": GateLimits(max=1.001),
    },
    "fp16": {
        "kl_mean": GateLimits(max=1e-3),
        "top1_agreement": GateLimits(min=0.98),
        "perplexity_ratio": GateLimits(max=1.005),
    },
    "int8": {
        "kl_mean": GateLimits(max=0.02),
        "top1_agreement": GateLimits(min=0.92),
        "perplexity_ratio": GateLimits(max=1.03),
    },
    "int4": {
        "kl_mean": GateLimits(max=0.15),
        "top1_agreement": GateLimits(min=0.8),
        "perplexity_ratio": GateLimits(max=1.15),
    },
}


def limits_for(gates: Gates, precision: VariantPrecision) -> dict[Metric, GateLimits]:
    """Return the limits of a candidate: the defaults, replaced by those of the entry."""
    limits = _ANY_PRECISION | _BY_PRECISION[precision] | gates.limits
    return {metric: limits[metric] for metric in METRICS if metric in limits}


def weigh(
    limits: Mapping[Metric, GateLimits],
    figures: Figures,
    *,
    source: Figures,
    champion: Figures | None,
) -> tuple[GateResult, ...]:
    """Compare figures with their limits.

    Args:
        limits: The limits of each figure.
        figures: The candidate's.
        source: The source's, as far as they are known.
        champion: The champion's; None without a champion, and then there is no gate against it.

    Returns:
        One result per limit. A figure that is missing, not finite, or without a figure to compare
        it with is inconclusive.
    """
    return tuple(
        _result(metric, limit.severity, rule, figures.get(metric))
        for metric, limit in limits.items()
        for rule in _rules(metric, limit, source, champion)
    )


def rules_in_words(limits: Mapping[Metric, GateLimits]) -> dict[str, str]:
    """Return the rules of each limited figure, in the words that a gate's result repeats."""
    rules = {
        metric: " and ".join(rule.words for rule in _rules(metric, limit, {}, {}))
        for metric, limit in limits.items()
    }
    return {metric: words for metric, words in rules.items() if words}


def in_words(gate: GateResult) -> str:
    """Describe a gate, as ``kl_mean is 0.57 (0.531 to 0.612), must be at most 0.15``."""
    doubt = _doubt(gate) if gate.state == "inconclusive" else ""
    return (
        f"{gate.metric} is {units.figure(gate.metric, gate.observed)}, must be {gate.rule}{doubt}"
    )


def score(
    evaluation: Evaluation, gates: Gates, *, source: Figures, champion: Figures | None
) -> ScoredCandidate:
    """Return a measured candidate with its gates, but for those that need the smoke test."""
    if evaluation.built.artifact is None:
        return ScoredCandidate(evaluation=evaluation, gates=())
    limits = limits_for(gates, evaluation.built.precision)
    known = {metric: limit for metric, limit in limits.items() if metric not in SMOKE_METRICS}
    return ScoredCandidate(
        evaluation=evaluation,
        gates=weigh(known, evaluation.figures, source=source, champion=champion),
    )


def smoke_figures(report: WrapperReport) -> Figures:
    """Return the figures that the smoke test of one wrapper adds."""
    if report.answers is None:
        return {}
    times = latencies_ms(report.answers)
    figures: Figures = {"answered_prompts": Estimate.exact(len(times))}
    if times and all(math.isfinite(each) and each >= 0 for each in times):
        figures["median_latency_ms"] = Estimate.exact(median(times))
    if report.answers.tokens_per_second is not None:
        figures["tokens_per_second"] = Estimate.exact(report.answers.tokens_per_second)
    return figures


def latencies_ms(answers: Answers) -> tuple[float, ...]:
    """Return the latency of every prompt that was answered."""
    answered = (each for each in answers.predictions if each.response and not each.error)
    return tuple(each.latency_ms for each in answered)


class _Rule(NamedTuple):
    """One limit: in words, whether it is an upper one, and its value; None if that is unknown."""

    words: str
    is_upper: bool
    limit: float | None


def _rules(
    metric: Metric, limits: GateLimits, source: Figures, champion: Figures | None
) -> Iterator[_Rule]:
    if limits.max is not None:
        yield _Rule(f"at most {units.limit(metric, limits.max)}", True, limits.max)
    if limits.min is not None:
        yield _Rule(f"at least {units.limit(metric, limits.min)}", False, limits.min)
    if (share := limits.max_degradation_vs_source) is not None:
        yield _relative_rule(metric, share, "the source", source)
    if (share := limits.max_degradation_vs_champion) is not None and champion is not None:
        yield _relative_rule(metric, share, "the champion", champion)


def _relative_rule(metric: Metric, share: float, base: str, figures: Figures) -> _Rule:
    worse, sign = ("below", -1) if metric in HIGHER_IS_BETTER else ("above", 1)
    words = f"at most {units.percent(share)} {worse} {base}"
    known = figures.get(metric)
    if known is None:
        return _Rule(words, sign == 1, None)
    limit = known.value * (1 + sign * share)
    return _Rule(f"{words} ({units.figure(metric, Estimate.exact(limit))})", sign == 1, limit)


def _result(
    metric: Metric, severity: Severity, rule: _Rule, observed: Estimate | None
) -> GateResult:
    return GateResult(
        metric=metric,
        rule=rule.words,
        limit=rule.limit,
        observed=observed,
        state=_state(metric, rule, observed),
        severity=severity,
    )


def _state(metric: Metric, rule: _Rule, observed: Estimate | None) -> GateState:
    if rule.limit is None or observed is None or not _possible(rule.limit, observed):
        return "inconclusive"
    low, high, bound = observed.low, observed.high, rule.limit
    if not rule.is_upper:
        low, high, bound = -high, -low, -bound
    if high <= bound:
        return "pass"
    return "fail" if low > bound and metric not in _SAMPLES else "inconclusive"


def _doubt(gate: GateResult) -> str:
    """Return why a gate is inconclusive, where its figure does not say so."""
    if gate.observed is None or units.measured(gate.observed.value) is None:
        return ""
    if gate.limit is None:
        return ": the figure to compare it with is unknown"
    if not _possible(gate.limit, gate.observed):
        return ": such a figure is impossible"
    if gate.metric in _SAMPLES:
        return ": too few to decide"
    return ": the 95 % interval includes the limit"


def _possible(limit: float, observed: Estimate) -> bool:
    """Whether the limit and the figure are finite, and the figure is one that can be measured."""
    figures = (observed.value, observed.low, observed.high)
    finite = all(math.isfinite(each) and each >= 0 for each in figures)
    return math.isfinite(limit) and finite and observed.low <= observed.value <= observed.high
