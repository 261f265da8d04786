"""How each candidate of a release stands, and which figure decided it. Pure."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from slipway.evaluation import units
from slipway.values import GateResult, ScoredCandidate, Selection

State = Literal["chosen", "passed", "refused", "in doubt", "not measured", "not built"]


class Standing(NamedTuple):
    """What became of one candidate.

    Attributes:
        state: In a word.
        reason: Why, in one line.
    """

    state: State
    reason: str


def candidate_outcome(candidate: ScoredCandidate, choice: Selection) -> Standing:
    """Return what became of a candidate, with the figure that decided it."""
    evaluation = candidate.evaluation
    if evaluation.built.artifact is None:
        return Standing(
            "not built", evaluation.reason or evaluation.built.reason or "no reason was given"
        )
    blocking = decisive(candidate.gates)
    if evaluation.variant == choice.variant:
        why = (choice.reason, said(blocking)) if blocking else (choice.reason,)
        return Standing("chosen", "; ".join(why))
    if blocking:
        state: State = "refused" if blocking.state == "fail" else "in doubt"
        return Standing(state, said(blocking))
    if evaluation.reason or not candidate.gates:
        return Standing("not measured", evaluation.reason or "nothing was weighed")
    return Standing("passed", f"passes its gates too; chosen was {choice.reason}")


def decisive(gates: Sequence[GateResult]) -> GateResult | None:
    """Return the first gate that blocks, one that fails before one in doubt; None for none."""
    blocking = [gate for gate in gates if gate.blocks]
    return min(blocking, key=lambda gate: gate.state != "fail", default=None)


def said(gate: GateResult) -> str:
    """Say what a gate saw, as ``kl_mean 0.57 (0.53 to 0.61), at most 0.15``."""
    return f"{gate.metric} {units.figure(gate.metric, gate.observed)}, {gate.rule}"


def short_names(variants: Sequence[str]) -> dict[str, str]:
    """Return names that fit into a picture: without the parts that all ``variants`` share.

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
