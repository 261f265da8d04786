"""Which files of a checkpoint, which candidate. Pure."""

from collections.abc import Sequence
from typing import Literal

from slipway.errors import NothingBuilt
from slipway.values import Estimate, Metric, ScoredCandidate, Selection


def select(
    candidates: Sequence[ScoredCandidate], prefer: Literal["first", "smallest", "fastest"]
) -> Selection:
    """Return the candidate that goes on: of those that pass their gates, the preferred one.

    If none passes, the one that is closest to its source goes on all the same, so that it is asked
    and reported; its gates keep it from being promoted.

    Args:
        candidates: In the recipe's order.
        prefer: ``first`` in that order, ``smallest`` in bytes, or ``fastest`` to generate.

    Raises:
        NothingBuilt: If none could be built; with each one's reason.
    """
    passing = [each for each in candidates if each.passes]
    if passing:
        best = min(passing, key=lambda each: _rank(each, prefer))
        return _choice(candidates, best, _why(prefer, len(passing), len(candidates)))
    built = [each for each in candidates if each.evaluation.built.artifact]
    if not built:
        raise NothingBuilt(
            tuple(f"{each.evaluation.variant}: {_reason(each)}" for each in candidates)
        )
    best = min(built, key=lambda each: _figure(each, "kl_mean", worst=float("inf")))
    return _choice(candidates, best, "none passes its gates; this one is closest to its source")


def _choice(candidates: Sequence[ScoredCandidate], best: ScoredCandidate, reason: str) -> Selection:
    return Selection(candidates=tuple(candidates), variant=best.evaluation.variant, reason=reason)


def _rank(candidate: ScoredCandidate, prefer: str) -> float:
    """Return what is smallest for the preferred candidate; equals keep the recipe's order."""
    if prefer == "smallest":
        return _figure(candidate, "size_bytes", worst=float("inf"))
    if prefer == "fastest":
        return -_figure(candidate, "decode_tokens_per_second", worst=0.0)
    return 0.0


def _figure(candidate: ScoredCandidate, metric: Metric, worst: float) -> float:
    return candidate.evaluation.figures.get(metric, Estimate.exact(worst)).value


def _why(prefer: str, passing: int, total: int) -> str:
    if total == 1:
        return "the recipe's only candidate, and it passes its gates"
    count = "the only one" if passing == 1 else f"the {prefer} of the {passing}"
    return (
        f"{count} of {total} that passes its gates"
        if passing == 1
        else (f"{count} that pass their gates, of {total}")
    )


def _reason(candidate: ScoredCandidate) -> str:
    return candidate.evaluation.reason or candidate.evaluation.built.reason or "no reason was given"
