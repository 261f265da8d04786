"""Scores of a source and of a candidate on the same items of a task, compared. Pure."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from slipway.errors import ItemsDiffer
from slipway.evaluation import paired
from slipway.values import (
    Estimate,
    GateState,
    PairedCounts,
    SuitePower,
    TaskComparison,
    Value,
)

#: Each end of an interval holds in 95 %, as in ``paired``.
_CONFIDENCE = 1 - 2 * paired.MOST_FALSE_ALARMS
_SHARES = {0.0, 1.0}
_LEAST_ITEMS = 2


class TaskScore(Value):
    """One metric of one task, as a model reached it.

    Attributes:
        metric: The harness' name, with that of its filter if it has one, as ``exact_match.strict``.
        items: The score of each item by the item's number and digest of its prompt; empty for a
            metric that is not the mean of its items' scores.
    """

    task: str
    metric: str
    value: float
    higher_is_better: bool
    items: dict[str, float]


class _Loss(NamedTuple):
    """By how much a candidate is worse, and what follows from it, as in ``TaskComparison``."""

    estimate: Estimate | None
    state: GateState
    blocks: bool
    power: SuitePower | None = None


def compare(
    source: Sequence[TaskScore], candidate: Sequence[TaskScore], margin: float | None = None
) -> tuple[TaskComparison, ...]:
    """Compare what both reached, metric by metric.

    Args:
        source: The source's scores.
        candidate: The candidate's, of the same tasks.
        margin: Largest loss that is accepted, in the metric's own unit.

    Raises:
        ItemsDiffer: If they were not asked the same.
    """
    return tuple(_comparisons(source, candidate, margin))


def _comparisons(
    source: Sequence[TaskScore], candidate: Sequence[TaskScore], margin: float | None
) -> Iterator[TaskComparison]:
    reached = {(each.task, each.metric): each for each in candidate}
    if reached.keys() != {(each.task, each.metric) for each in source}:
        raise ItemsDiffer("the metrics")
    for before in source:
        after = reached[before.task, before.metric]
        if before.items.keys() != after.items.keys():
            raise ItemsDiffer(before.task)
        loss = _loss(before, after, margin)
        found, higher = loss.estimate, before.higher_is_better
        yield TaskComparison(
            task=before.task,
            metric=before.metric,
            items=len(before.items),
            source=before.value,
            candidate=after.value,
            higher_is_better=higher,
            difference=found.negative if found and higher else found,
            state=loss.state if margin is not None else None,
            blocks=loss.blocks and margin is not None,
            power=loss.power,
        )


def _loss(before: TaskScore, after: TaskScore, margin: float | None) -> _Loss:
    """Return by how much the candidate is worse, and whether that is within the margin."""
    if len(before.items) < _LEAST_ITEMS:
        return _Loss(None, "inconclusive", blocks=True)
    sign = 1 if before.higher_is_better else -1
    worse = sign * np.array([before.items[item] - after.items[item] for item in before.items])
    if {*before.items.values(), *after.items.values()} <= _SHARES:
        counts = PairedCounts(
            compared=len(worse), lost=int((worse > 0).sum()), gained=int((worse < 0).sum())
        )
        result = paired.judge(counts, margin or 0.0)
        power = None if margin is None else paired.suite_power(len(worse), margin)
        return _Loss(result.loss, result.state, result.blocks, power)
    loss = _mean(worse)
    state = _state(loss, margin or 0.0)
    return _Loss(loss, state, blocks=state != "pass")


def _mean(worse: NDArray[np.float64]) -> Estimate:
    """Return the mean of differences with Student's interval."""
    value = float(worse.mean())
    width = float(scipy.stats.sem(worse) * scipy.stats.t.ppf((1 + _CONFIDENCE) / 2, len(worse) - 1))
    return Estimate(value=value, low=value - width, high=value + width)


def _state(loss: Estimate, margin: float) -> GateState:
    if loss.high <= margin:
        return "pass"
    return "fail" if loss.low > margin else "inconclusive"
