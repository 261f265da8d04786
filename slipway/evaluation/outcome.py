"""The state of each candidate of a release, and the figure that decided it. Pure."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from slipway.evaluation.gates import in_words
from slipway.values import GateResult, ScoredCandidate, Selection

CandidateState = Literal[
    "selected", "passed", "failed", "inconclusive", "not measured", "not built"
]


class CandidateOutcome(NamedTuple):
    """The state of one candidate, and the reason in one line."""

    state: CandidateState
    reason: str


def candidate_outcome(candidate: ScoredCandidate, selection: Selection) -> CandidateOutcome:
    """Return the state of a candidate, with the figure that decided it."""
    evaluation = candidate.evaluation
    if evaluation.built.artifact is None:
        return CandidateOutcome("not built", evaluation.failure)
    blocking = decisive(candidate.gates)
    if evaluation.variant == selection.variant:
        reasons = (selection.reason, in_words(blocking)) if blocking else (selection.reason,)
        return CandidateOutcome("selected", "; ".join(reasons))
    if blocking:
        state: CandidateState = "failed" if blocking.state == "fail" else "inconclusive"
        return CandidateOutcome(state, in_words(blocking))
    if evaluation.reason or not candidate.gates:
        return CandidateOutcome("not measured", evaluation.reason or "no gate was evaluated")
    return CandidateOutcome("passed", f"passes its gates too; selected was {selection.reason}")


def decisive(gates: Sequence[GateResult]) -> GateResult | None:
    """Return the first gate that blocks, failed ones before inconclusive ones; None for none."""
    blocking = [gate for gate in gates if gate.blocks]
    return min(blocking, key=lambda gate: gate.state != "fail", default=None)


def short_names(variants: Sequence[str]) -> dict[str, str]:
    """Return names without the parts that all ``variants`` share.

    Args:
        variants: Full names, such as ``cpu-int8-rtn-block-32``.

    Returns:
        Short names by full ones; the full ones where nothing would be left or two be the same.
    """
    parts = [_parts(variant) for variant in variants]
    shared = set(parts[0]).intersection(*parts) if parts else set()
    short = ["-".join(part for part in each if part not in shared) for each in parts]
    if not all(short) or len(set(short)) < len(short):
        short = list(variants)
    return dict(zip(variants, short, strict=True))


def _parts(variant: str) -> list[str]:
    """Split at dashes, and keep ``block-32`` and ``acc-level-4`` in one piece."""
    parts: list[str] = []
    for word in variant.split("-"):
        if parts and (word.isdigit() or word == "level"):
            parts[-1] += f"-{word}"
        else:
            parts.append(word)
    return parts
