"""Compares figures with their limits. Pure; a gate in doubt does not pass.

The vocabulary is that of Olive's goals (threshold, max-degradation, percent-max-degradation, see
https://microsoft.github.io/Olive/reference/options.html), with two additions: a limit relative to
the champion, and the state ``inconclusive`` for a figure whose interval includes its limit. A
limit on the side that is better says what is too good to be plausible: beyond it, a figure is
inconclusive as well, since something else may have been measured.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from statistics import median
from typing import Literal, NamedTuple

from slipway.evaluation import units
from slipway.values import (
    HIGHER_IS_BETTER,
    METRICS,
    UNDIRECTED,
    Answers,
    Champion,
    Entry,
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
    SmokeReport,
    TaskComparison,
    TaskLimits,
    VariantPrecision,
    Weights,
    WrapperReport,
)

#: Figures that only the smoke test knows.
SMOKE_METRICS: frozenset[Metric] = frozenset(
    {"answered_prompts", "answer_length_ratio", "median_latency_ms", "tokens_per_second"}
)
#: Their gates are paired tests, which are among the checks of the smoke test.
_PAIRED: frozenset[Metric] = frozenset({"lost_prompts", "lost_questions"})

#: Figures of sampled answers; where no sampling is declared, there are none and no gates on them.
SAMPLED_METRICS: frozenset[Metric] = frozenset(
    {"stop_rate_loss", "loop_rate_gain", "refusal_rate_gain"}
)

#: Figures of the champion, measured again beside the candidate; without one there are none.
CHAMPION_METRICS: frozenset[Metric] = frozenset({"champion_speed_ratio"})

#: Counts of samples: too few are inconclusive, since more of them may still pass.
_SAMPLES: frozenset[Metric] = frozenset({"compared_tokens", "answered_prompts"})

_ANY_PRECISION: dict[Metric, GateLimits] = {
    "compared_tokens": GateLimits(min=4000),
    "broken_positions": GateLimits(max=0),
    "size_bytes": GateLimits(max_degradation_vs_source=0.1),
    "answered_prompts": GateLimits(min=12, max_degradation_vs_champion=0.1),
    "lost_prompts": GateLimits(max=0.05),
    "lost_questions": GateLimits(max=0.1),
    "answer_length_ratio": GateLimits(min=0.67, max=1.5),
    "median_latency_ms": GateLimits(max=30_000),
    "tokens_per_second": GateLimits(min=1),
    "champion_speed_ratio": GateLimits(min=0.5, severity="warning"),
    "stop_rate_loss": GateLimits(max=0.4),
    "loop_rate_gain": GateLimits(max=0.4),
    "refusal_rate_gain": GateLimits(max=0.4),
}

#: Defaults by precision; docs/catalogue.md gives the reasons.
_BY_PRECISION: dict[VariantPrecision, dict[Metric, GateLimits]] = {
    "fp32": {
        "kl_mean": GateLimits(max=1e-6),
        "kl_long": GateLimits(max=1e-5),
        "top1_agreement": GateLimits(min=0.995),
        "perplexity_ratio": GateLimits(min=0.999, max=1.001),
    },
    "fp16": {
        "kl_mean": GateLimits(max=1e-3),
        "kl_long": GateLimits(max=2e-3),
        "top1_agreement": GateLimits(min=0.98),
        "perplexity_ratio": GateLimits(min=0.99, max=1.005),
    },
    "int8": {
        "kl_mean": GateLimits(max=0.02),
        "kl_long": GateLimits(max=0.04),
        "top1_agreement": GateLimits(min=0.92),
        "perplexity_ratio": GateLimits(min=0.95, max=1.03),
    },
    "int4": {
        "kl_mean": GateLimits(max=0.15),
        "kl_long": GateLimits(max=0.3),
        "top1_agreement": GateLimits(min=0.8),
        "perplexity_ratio": GateLimits(min=0.8, max=1.15),
    },
}


def limits_for(gates: Gates, precision: VariantPrecision) -> dict[Metric, GateLimits]:
    """Return the limits of a candidate: the defaults, replaced by those of the entry."""
    limits = _ANY_PRECISION | _BY_PRECISION[precision] | gates.limits
    return {metric: limits[metric] for metric in METRICS if metric in limits}


def margin(
    gates: Gates, metric: Literal["lost_prompts", "lost_questions"] = "lost_prompts"
) -> GateLimits:
    """Return the limits of a loss, which are the same for every precision."""
    return (_ANY_PRECISION | gates.limits)[metric]


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
        champion: None without a champion, and then there is no gate against it.

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
    evaluation: Evaluation,
    gates: Gates,
    *,
    source: Figures,
    champion: Figures | None,
    accept_unmeasured: bool = False,
) -> ScoredCandidate:
    """Return a measured candidate with its gates, but for those that need the smoke test.

    Args:
        evaluation: The candidate's figures.
        gates: The entry's own limits.
        source: As in ``weigh``.
        champion: As in ``weigh``.
        accept_unmeasured: Whether a candidate that cannot run here is weighed by the figures that
            are known without running it.
    """
    if evaluation.built.artifact is None:
        return ScoredCandidate(evaluation=evaluation, gates=())
    limits = limits_for(gates, evaluation.built.precision)
    later = SMOKE_METRICS | SAMPLED_METRICS | CHAMPION_METRICS | _PAIRED
    known = {metric: limit for metric, limit in limits.items() if metric not in later}
    accepted = evaluation.failure if accept_unmeasured and not evaluation.runs_here else None
    if accepted:
        known = {metric: known[metric] for metric in known if metric in evaluation.figures}
    return ScoredCandidate(
        evaluation=evaluation,
        gates=weigh(known, evaluation.figures, source=source, champion=champion),
        accepted=accepted,
    )


def score_all(
    entry: Entry, weights: Weights, evaluations: Iterable[Evaluation], champion: Champion | None
) -> list[ScoredCandidate]:
    """Return every candidate of an entry with its gates, those on tasks among them."""
    source: Figures = {"size_bytes": Estimate.exact(weights.stored.size_bytes)}
    serving = champion.figures if champion else None
    scored = (
        score(
            evaluation,
            entry.gates,
            source=source,
            champion=serving,
            accept_unmeasured=entry.unmeasured == "accept",
        )
        for evaluation in evaluations
    )
    return [
        each
        if each.accepted or each.evaluation.built.artifact is None
        else each.model_copy(
            update={"gates": (*each.gates, *_task_gates(entry.tasks, each.evaluation))}
        )
        for each in scored
    ]


def _task_gates(tasks: Mapping[str, TaskLimits], evaluation: Evaluation) -> Iterator[GateResult]:
    """Yield a gate for each metric of each task; a task that was not run is inconclusive."""
    for task, limits in tasks.items():
        missing = GateResult(
            metric=f"{task}.loss",
            rule=f"at most {units.number(limits.margin)}",
            limit=limits.margin,
            observed=None,
            state="inconclusive",
            severity=limits.severity,
        )
        for found in evaluation.tasks.get(task, ()):
            yield _task_gate(missing, found)
        if not evaluation.tasks.get(task):
            yield missing


def _task_gate(limit: GateResult, found: TaskComparison) -> GateResult:
    """Return the gate of one metric, whose figure is the loss: 0 where there is none.

    A loss that may be chance is shown and does not block, as among the prompts of a suite.
    """
    loss, power = found.loss, found.power
    shown = f" (found by {power.prompts} items in {units.percent(power.found, 2)})" if power else ""
    return limit.model_copy(
        update={
            "metric": f"{found.task}.{found.metric}.loss",
            "rule": limit.rule + shown,
            "observed": loss and Estimate(**{end: max(0.0, each) for end, each in loss}),
            "state": found.state,
            "severity": limit.severity if found.blocks or found.state == "pass" else "warning",
        }
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


def answer_figures(report: SmokeReport) -> Figures:
    """Return the figures that the smoke test of a candidate adds."""
    figures = smoke_figures(report.onnx)
    if report.answer_length_ratio is not None:
        figures["answer_length_ratio"] = report.answer_length_ratio
    if ratio := _speed_ratio(figures, report.champion):
        figures["champion_speed_ratio"] = ratio
    return figures | (report.sampled.figures if report.sampled else {})


def _speed_ratio(figures: Figures, champion: WrapperReport | None) -> Estimate | None:
    """Return the speed of the candidate's answers, as a multiple of the champion's; both of now."""
    ours = figures.get("tokens_per_second")
    champions = smoke_figures(champion).get("tokens_per_second") if champion else None
    if ours is None or champions is None or not champions.value:
        return None
    return Estimate.exact(ours.value / champions.value)


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
    fails = low > bound and metric not in _SAMPLES and not _excludes_the_better(metric, rule)
    return "fail" if fails else "inconclusive"


def _excludes_the_better(metric: Metric, rule: _Rule) -> bool:
    """Return whether figures beyond the limit would be better ones."""
    return metric not in UNDIRECTED and rule.is_upper == (metric in HIGHER_IS_BETTER)


def _doubt(gate: GateResult) -> str:
    """Return why a gate is inconclusive, where its figure does not say so."""
    if gate.observed is None or units.measured(gate.observed.value) is None:
        return ""
    if gate.limit is None:
        return ": the figure to compare it with is unknown"
    if not _possible(gate.limit, gate.observed):
        return ": such a figure is impossible"
    if gate.metric in _SAMPLES or gate.metric not in METRICS:
        return ": too few to decide"
    if gate.observed.low <= gate.limit <= gate.observed.high:
        return ": the 95 % interval includes the limit"
    return ": too good to be plausible"


def _possible(limit: float, observed: Estimate) -> bool:
    """Whether the limit and the figure are finite, and the figure is one that can be measured."""
    figures = (observed.value, observed.low, observed.high)
    finite = all(math.isfinite(each) and each >= 0 for each in figures)
    return math.isfinite(limit) and finite and observed.low <= observed.value <= observed.high
