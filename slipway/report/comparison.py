"""Two releases side by side: which figures got better, and which answers are others. Pure."""

from collections.abc import Mapping

from slipway.report import changes
from slipway.values import (
    HIGHER_IS_BETTER,
    METRICS,
    AnswerChange,
    Comparison,
    Estimate,
    FigureChange,
    Figures,
    Metric,
    ReleaseRecord,
    Trend,
)


def of(model: str, before: ReleaseRecord, after: ReleaseRecord) -> Comparison:
    """Compare what two releases of a model left behind.

    Args:
        model: Name of the catalogue's entry.
        before: The earlier one.
        after: The later one.
    """
    return Comparison(
        model=model,
        before=before,
        after=after,
        figures=steps(before.figures, after.figures),
        changes=changes.since(before.manifest, after.manifest),
        differing=differing(before.answers, after.answers),
    )


def steps(before: Figures, after: Figures) -> tuple[FigureChange, ...]:
    """Return every figure that either has, in the catalogue's order."""
    return tuple(
        _step(metric, before.get(metric), after.get(metric))
        for metric in METRICS
        if metric in before or metric in after
    )


def differing(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[AnswerChange, ...]:
    """Return the prompts that both were asked and answer differently."""
    return tuple(
        AnswerChange(prompt_id=prompt_id, before=answer, after=after[prompt_id])
        for prompt_id, answer in before.items()
        if after.get(prompt_id, answer) != answer
    )


def _step(metric: Metric, before: Estimate | None, after: Estimate | None) -> FigureChange:
    share = None
    if before and after and before.value:
        share = after.value / before.value - 1
    trend = _trend(metric, before, after)
    return FigureChange(metric=metric, before=before, after=after, share=share, trend=trend)


def _trend(metric: Metric, before: Estimate | None, after: Estimate | None) -> Trend:
    if before is None or after is None:
        return "not comparable"
    if before.value == after.value:
        return "equal"
    if before.low <= after.high and after.low <= before.high:
        return "within the interval"
    rose = after.value > before.value
    return "better" if rose == (metric in HIGHER_IS_BETTER) else "worse"
