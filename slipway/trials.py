"""Attempts → Trials: every candidate is held against its source, and all are timed in turn."""

from slipway import fidelity, speed
from slipway.fidelity import Text
from slipway.steps import Workshop, brief
from slipway.values import Artifact, Attempt, Fidelity, Speed, Trial, Weights


def run(
    weights: Weights,
    attempts: tuple[Attempt, ...],
    texts: tuple[Text, ...],
    workshop: Workshop,
) -> tuple[Trial, ...]:
    """Return what was measured of every candidate, in the order of ``attempts``.

    A candidate that cannot be loaded or read is returned with the reason.

    Raises:
        SourceRefused: If the source itself cannot be read.
        StepFailed: If reading the source crashed, hung or was ended for memory.
    """
    built = tuple(each.artifact for each in attempts if each.artifact)
    if not built:
        return tuple(_trial(attempt, None, None) for attempt in attempts)
    parts = len(built) + 2
    reading = fidelity.read_source(weights, texts, workshop.part(0, parts))
    close = {
        artifact.variant: fidelity.measure(artifact, reading, workshop.part(place, parts))
        for place, artifact in enumerate(built, start=1)
    }
    fast = speed.measure(built, workshop.part(parts - 1, parts))
    return tuple(
        _trial(attempt, close.get(attempt.variant), _speeds(built, fast).get(attempt.variant))
        for attempt in attempts
    )


def _speeds(built: tuple[Artifact, ...], speeds: tuple[Speed | str, ...]) -> dict[str, Speed | str]:
    return {artifact.variant: each for artifact, each in zip(built, speeds, strict=True)}


def _trial(attempt: Attempt, close: Fidelity | str | None, fast: Speed | str | None) -> Trial:
    reasons = [each for each in (attempt.reason, close, fast) if isinstance(each, str)]
    return Trial(
        attempt=attempt,
        fidelity=close if isinstance(close, Fidelity) else None,
        speed=fast if isinstance(fast, Speed) else None,
        reason=brief(reasons[0]) if reasons else None,
    )
