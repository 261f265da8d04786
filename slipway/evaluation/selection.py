"""Selects the candidate that goes on. Pure."""

import math
from collections.abc import Sequence

from slipway.errors import NothingBuilt
from slipway.values import Estimate, Metric, Preference, ScoredCandidate, Selection


def select(
    candidates: Sequence[ScoredCandidate], prefer: Preference, speed_weight: float = 0.5
) -> Selection:
    """Return the preferred one of the candidates that pass their gates.

    If none passes, the candidate that is closest to its source goes on, so that it is tested and
    reported; its gates prevent its promotion.

    Args:
        candidates: In the recipe's order.
        prefer: ``first`` in that order, ``smallest`` in bytes, ``fastest`` to generate, or
            ``pareto`` for the best balance: no other is both smaller and faster than this one.
        speed_weight: How much of the balance is speed, 0 to 1; the rest is size.

    Raises:
        NothingBuilt: If none could be built; with each one's reason.
    """
    built = [each for each in candidates if each.evaluation.built.artifact]
    if not built:
        failures = (each.evaluation for each in candidates)
        raise NothingBuilt(tuple(f"{each.variant}: {each.failure}" for each in failures))
    passing = [each for each in candidates if each.passes]
    if passing:
        best = min(passing, key=lambda each: _rank(each, prefer, speed_weight))
        reason = _reason(_superlative(prefer, speed_weight), len(passing), len(candidates))
    else:
        best = min(built, key=lambda each: _figure(each, "kl_mean", math.inf))
        reason = "none passes its gates; this one is closest to its source"
    return Selection(candidates=tuple(candidates), variant=best.evaluation.variant, reason=reason)


def _rank(candidate: ScoredCandidate, prefer: Preference, speed_weight: float) -> float:
    """Return what is smallest for the preferred candidate; equals keep the recipe's order.

    The balance is the weighted product of size and time a token, so that no unit matters: with
    equal weights, half the size is as good as twice the speed.
    """
    if prefer == "first":
        return 0
    weight = {"smallest": 0.0, "fastest": 1.0}.get(prefer, speed_weight)
    size_bytes = _figure(candidate, "size_bytes", math.inf)
    speed = _figure(candidate, "decode_tokens_per_second", 0)
    return _weighted(1 - weight, size_bytes) - _weighted(weight, speed)


def _weighted(weight: float, figure: float) -> float:
    """Return the logarithm of a figure times its weight; without weight, the figure is not read."""
    if weight == 0:
        return 0
    return weight * (math.log(figure) if figure > 0 else -math.inf)


def _figure(candidate: ScoredCandidate, metric: Metric, default: float) -> float:
    return candidate.evaluation.figures.get(metric, Estimate.exact(default)).value


def _superlative(prefer: Preference, speed_weight: float) -> str:
    if prefer != "pareto":
        return prefer
    return f"best balance of size and speed (speed counts {speed_weight:.0%})"


def _reason(best: str, passing: int, total: int) -> str:
    if total == 1:
        return "the recipe's only candidate, and it passes its gates"
    if passing == 1:
        return f"the only one of {total} that passes its gates"
    return f"the {best} of the {passing} that pass their gates, of {total}"
