"""Compares two models on the same prompts: is what one of them lost more than chance? Pure.

The test is McNemar's, in its exact conditional form and one-sided: of the prompts that only one of
two equal models answers well, as many are lost as gained (McNemar 1947, Psychometrika 12:153). So
a model that loses nothing is blocked in at most 5 % of releases, however many answers differ. The
interval of the loss is Bonett and Price's (2012), which Fagerland, Lydersen and Laake (2014,
Statistics in Medicine 33:2850) recommend for paired shares.
"""

from functools import cache
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import scipy

from slipway.evaluation import units
from slipway.values import (
    PASSED,
    CheckResult,
    Estimate,
    GateState,
    PairedCounts,
    Severity,
    SuitePower,
)

MOST_FALSE_ALARMS, LEAST_POWER = 0.05, 0.8
#: Share of the prompts whose answers another rounding of the weights makes worse or better, half
#: of them each. The stated power assumes it; the test does not.
ACCIDENTAL_SHARE = 0.02

_Z = NormalDist().inv_cdf(1 - MOST_FALSE_ALARMS)
_NEGLIGIBLE = 1e-12
_STEP, _MOST_PROMPTS = 10, 10_000


class PairedResult(NamedTuple):
    """What a comparison shows.

    Attributes:
        state: ``inconclusive`` where a loss is beyond chance but may be smaller than the margin,
            and where the suite is too small to tell a loss from chance.
        blocks: Whether it prevents a promotion. A loss that may be chance does not, unless the
            suite is so small that the loss of all its prompts may be chance.
        loss: Lost less gained prompts, as a share of those compared.
        p_value: Probability of this loss or a larger one between two equal models.
    """

    state: GateState
    blocks: bool
    loss: Estimate
    p_value: float


def judge(counts: PairedCounts, margin: float) -> PairedResult:
    """Decide whether a candidate lost more prompts than chance explains.

    It passes if its loss is shown to be within the margin, or may be chance although the suite is
    large enough. It fails if its loss is beyond chance and as large as the margin.

    Args:
        counts: What was lost and gained.
        margin: Largest loss that is accepted, as a share of the prompts.
    """
    compared, lost, gained = counts.compared, counts.lost, counts.gained
    p_value = float(_p_value(lost, lost + gained))
    value, low, high = (float(each) for each in _interval(compared, lost, gained))
    state, blocks = _state(counts, margin, high, p_value)
    return PairedResult(state, blocks, Estimate(value=value, low=low, high=high), p_value)


def check(
    name: str,
    counts: PairedCounts,
    margin: float,
    severity: Severity = "critical",
    failing: tuple[str, ...] = (),
) -> CheckResult:
    """Return a comparison as a check.

    Args:
        name: The check's name in reports.
        counts: What was lost and gained.
        margin: As in ``judge``.
        severity: Severity of a loss that blocks; one that does not block is a ``warning``.
        failing: Ids of the lost prompts.
    """
    result = judge(counts, margin)
    found = f"{counts.lost} lost and {counts.gained} gained of {counts.compared} prompts"
    loss = loss_in_words(result.loss)
    chance = f"at most {_points(margin)} may be lost, p = {units.number(result.p_value, digits=2)}"
    small = result.state == "inconclusive" and result.p_value > MOST_FALSE_ALARMS
    return CheckResult(
        name=name,
        severity=severity if result.blocks or result.state == "pass" else "warning",
        passed=PASSED[result.state],
        failing=failing,
        observed=f"{found}: {loss}, {chance}{'; too few prompts to exclude chance' * small}",
    )


def power(prompts: int, margin: float, loss: float, accidental: float = ACCIDENTAL_SHARE) -> float:
    """Return the share of releases that ``judge`` blocks because a loss is beyond chance.

    Exact: a sum over all counts of lost and gained prompts.

    Args:
        prompts: Prompts that could be lost.
        margin: As in ``judge``.
        loss: Share of the prompts that the candidate truly loses.
        accidental: Share of the prompts that are lost or gained by accident, half of them each.
    """
    better = accidental / 2
    worse = min(loss + better, 1 - better)
    differing = worse + better
    most = int(scipy.stats.binom.isf(_NEGLIGIBLE, prompts, differing))
    differ, lost = np.tril_indices(most + 1)
    chance = scipy.stats.binom.pmf(differ, prompts, differing) * scipy.stats.binom.pmf(
        lost, differ, worse / differing
    )
    _, _, high = _interval(prompts, lost, differ - lost)
    blocked = (_p_value(lost, differ) <= MOST_FALSE_ALARMS) & (high > margin)
    return float(chance[blocked].sum())


@cache
def suite_power(prompts: int, margin: float) -> SuitePower:
    """Return how often a suite finds a loss of its margin, and how often one that is none."""
    found = power(prompts, margin, margin)
    return SuitePower(
        prompts=prompts,
        margin=margin,
        found=found,
        false_alarms=power(prompts, margin, 0.0),
        suffices=found >= LEAST_POWER,
        needed=_needed(margin),
    )


def in_words(known: SuitePower) -> str:
    """Say the power of a suite, and what it lacks if it is too small."""
    words = (
        f"With these {known.prompts} prompts, a loss of {_points(known.margin)} is found in "
        f"{_percent(known.found)} of releases, and a model that loses nothing is blocked in "
        f"{_percent(known.false_alarms)}."
    )
    if known.suffices:
        return words
    least = f"about {known.needed}" if known.needed else f"more than {_MOST_PROMPTS:,}"
    needs = f"to find it in {units.percent(LEAST_POWER)}, {least} prompts with an expectation"
    return f"{words} The suite is too small for its margin: {needs} are needed."


def loss_in_words(loss: Estimate) -> str:
    """Say a loss with its interval, as ``a loss of 5 points (1.74 to 8.16)``, or a gain."""
    word, sign = ("gain", -1) if loss.value < 0 else ("loss", 1)
    low, high = (
        units.number(each) for each in sorted(100 * sign * each for each in (loss.low, loss.high))
    )
    return f"a {word} of {_points(abs(loss.value))} ({low} to {high})"


def _state(
    counts: PairedCounts, margin: float, high: float, p_value: float
) -> tuple[GateState, bool]:
    if high <= margin or counts.lost <= counts.gained:
        return "pass", False
    if p_value <= MOST_FALSE_ALARMS:
        fails = counts.lost - counts.gained >= margin * counts.compared
        return ("fail" if fails else "inconclusive"), True
    if power(counts.compared, margin, margin) >= LEAST_POWER:
        return "pass", False
    asked = counts.compared + counts.others
    undecidable = _p_value(asked, asked) > MOST_FALSE_ALARMS
    return "inconclusive", bool(undecidable)


def _p_value(lost: Any, differing: Any) -> Any:
    """Return the chance of at least ``lost`` heads in ``differing`` throws of a fair coin."""
    return scipy.stats.binom.sf(lost - 1, differing, 0.5)


def _interval(prompts: int, lost: Any, gained: Any) -> tuple[Any, Any, Any]:
    """Return the share that was lost, and its ends, each of which holds in 95 %."""
    worse, better = (lost + 1) / (prompts + 2), (gained + 1) / (prompts + 2)
    middle = worse - better
    width = _Z * np.sqrt((worse + better - middle**2) / (prompts + 2))
    value = (lost - gained) / max(prompts, 1)
    low, high = np.maximum(middle - width, -1), np.minimum(middle + width, 1)
    return value, np.minimum(low, value), np.maximum(high, value)


def _needed(margin: float) -> int | None:
    """Return about how many prompts, in tens, find a loss of the margin often enough."""
    few, enough = 0, _STEP
    while power(enough, margin, margin) < LEAST_POWER:
        few, enough = enough, 2 * enough
        if enough > _MOST_PROMPTS:
            return None
    while enough - few > _STEP:
        half = (few + enough) // (2 * _STEP) * _STEP
        few, enough = (few, half) if power(half, margin, margin) >= LEAST_POWER else (half, enough)
    return enough


def _points(share: float) -> str:
    """Write a difference of two shares, as ``5 points``."""
    return units.number(100 * share, "point" if round(100 * share, 9) == 1 else "points")


def _percent(share: float) -> str:
    least = 0.01
    return units.percent(share, 2) if share >= least else f"less than {units.percent(least)}"
