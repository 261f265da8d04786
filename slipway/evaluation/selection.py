"""Selects the candidate that goes on. Pure."""

import math
from collections.abc import Sequence
from typing import Literal

from slipway.errors import NothingBuilt
from slipway.values import Estimate, Metric, ScoredCandidate, Selection

Preference = Literal["first", "smallest", "fastest"]


def select(candidates: Sequence[ScoredCandidate], prefer: Preference) -> Selection:
    """Return the preferred one of the candidates that pass their gates.

    If none passes, the candidate that is closest to its source goes on, so that it is tested and
    reported; its gates prevent its promotion.

    Args:
        candidates: In the recipe's order.
        prefer: ``first`` in that order, ``smallest`` in bytes, or ``fastest`` to generate.

    Raises:
        NothingBuilt: If none could be built; with each one's reason.
    """
    built = [each for each in candidates if each.evaluation.built.artifact]
    if not built:
        failures = (each.evaluation for each in candidates)
        raise NothingBuilt(tuple(f"{each.variant}: {each.failure}" for each in failures))
    passing = [each for each in candidates if each.passes]
    if passing:
        best = min(passing, key=lambda each: _rank(each, prefer))
        reason = _reason(prefer, len(passing), len(candidates))
    else:
        best = min(built, key=lambda each: _figure(each, "kl_mean", math.inf))
        reason = "none passes its gates; this one is closest to its source"
    return Selection(candidates=tuple(candidates), variant=best.evaluation.variant, reason=reason)


def _rank(candidate: ScoredCandidate, prefer: Preference) -> float:
    """Return what is smallest for the preferred candidate; equals keep the recipe's order."""
    if prefer == "smallest":
        return _figure(candidate, "size_bytes", math.inf)
    if prefer == "fastest":
        return -_figure(candidate, "decode_tokens_per_second", 0)
    return 0


def _figure(candidate: ScoredCandidate, metric: Metric, default: float) -> float:
    return candidate.evaluation.figures.get(metric, Estimate.exact(default)).value


def _reason(prefer: Preference, passing: int, total: int) -> str:
    if total == 1:
        return "the recipe's only candidate, and it passes its gates"
    if passing == 1:
        return f"the only one of {total} that passes its gates"
    return f"the {prefer} of the {passing} that pass their gates, of {total}"
