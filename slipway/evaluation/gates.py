"""Is a figure within its limits? Pure, and closed on every doubt.

The vocabulary is that of Olive's goals (threshold, max-degradation, percent-max-degradation, see
https://microsoft.github.io/Olive/reference/options.html), with two things added: the version that
serves as a base to compare with, and a third answer for a figure whose interval lies on both sides
of its limit.
"""

import math
from collections.abc import Iterator, Mapping
from statistics import median

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

#: How many samples a verdict rests on: too few are no fault, but no proof either.
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

#: Where a precision stops being the model; docs/catalogue.md gives the reasons.
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
    """Return what each figure of a candidate may be: the entry's own limits before the defaults."""
    limits = _ANY_PRECISION | _BY_PRECISION[precision] | gates.limits
    return {metric: limits[metric] for metric in METRICS if metric in limits}


def weigh(
    limits: Mapping[Metric, GateLimits],
    figures: Figures,
    *,
    source: Figures,
    champion: Figures | None,
) -> tuple[GateResult, ...]:
    """Hold figures against their limits.

    Args:
        limits: What each figure may be.
        figures: What was measured of the candidate.
        source: The same of the source, as far as it has it.
        champion: The same of the version that serves; None if none does, and then there is no gate
            against it.

    Returns:
        One result per limit. A figure that is missing or not finite, or that has nothing to be
        compared with, is inconclusive.
    """
    return tuple(
        _result(metric, limit.severity, rule, figures.get(metric))
        for metric, limit in limits.items()
        for rule in _rules(metric, limit, source, champion)
    )


def in_words(limits: Mapping[Metric, GateLimits]) -> dict[str, str]:
    """Return every limit as a person would say it, by its figure."""
    said = {
        metric: " and ".join(words for words, _, _ in _rules(metric, limit, {}, {}))
        for metric, limit in limits.items()
    }
    return {metric: words for metric, words in said.items() if words}


def score(
    evaluation: Evaluation, gates: Gates, *, source: Figures, champion: Figures | None
) -> ScoredCandidate:
    """Return a measured candidate with what the gates say of it, as far as that is known yet."""
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


#: A limit in words, whether it is the most that a figure may be, and the limit; None if unknown.
_Rule = tuple[str, bool, float | None]


def _rules(
    metric: Metric, limits: GateLimits, source: Figures, champion: Figures | None
) -> Iterator[_Rule]:
    if limits.max is not None:
        yield f"at most {limits.max:g}", True, limits.max
    if limits.min is not None:
        yield f"at least {limits.min:g}", False, limits.min
    if (share := limits.max_degradation_vs_source) is not None:
        yield _relative(metric, share, "the source", source)
    if (share := limits.max_degradation_vs_champion) is not None and champion is not None:
        yield _relative(metric, share, "the champion", champion)


def _relative(metric: Metric, share: float, base: str, figures: Figures) -> _Rule:
    worse, sign = ("below", -1) if metric in HIGHER_IS_BETTER else ("above", 1)
    known = figures.get(metric)
    limit = known.value * (1 + sign * share) if known else None
    return f"at most {share:.0%} {worse} {base}", sign == 1, limit


def _result(
    metric: Metric, severity: Severity, rule: _Rule, observed: Estimate | None
) -> GateResult:
    words, is_most, limit = rule
    return GateResult(
        metric=metric,
        rule=words,
        limit=limit,
        observed=observed,
        state=_state(metric, is_most, limit, observed),
        severity=severity,
    )


def _state(
    metric: Metric, is_most: bool, limit: float | None, observed: Estimate | None
) -> GateState:
    if limit is None or observed is None or not _possible(limit, observed):
        return "inconclusive"
    low, high = (observed.low, observed.high) if is_most else (-observed.high, -observed.low)
    bound = limit if is_most else -limit
    if high <= bound:
        return "pass"
    return "fail" if low > bound and metric not in _SAMPLES else "inconclusive"


def _possible(limit: float, observed: Estimate) -> bool:
    """Tell whether a figure can have been measured: every one is finite and none is negative."""
    figures = (observed.value, observed.low, observed.high)
    finite = all(math.isfinite(each) and each >= 0 for each in figures)
    return math.isfinite(limit) and finite and observed.low <= observed.value <= observed.high
