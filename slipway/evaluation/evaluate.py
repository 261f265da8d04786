"""BuildResults → Evaluations: every candidate is compared with its source, and all are timed."""

from slipway.evaluation import fidelity, speed
from slipway.evaluation.texts import Text
from slipway.system.workspace import Workspace
from slipway.values import BuildResult, Evaluation, Fidelity, Speed, Weights


def evaluate(
    weights: Weights,
    built: tuple[BuildResult, ...],
    texts: tuple[Text, ...],
    workspace: Workspace,
    *,
    speed_rounds: int,
) -> tuple[Evaluation, ...]:
    """Return the measurements of every candidate, in the order of ``built``.

    A candidate that cannot be loaded or run is returned with the reason.

    Args:
        weights: The source.
        built: The candidates.
        texts: What source and candidates read.
        workspace: Where and with what.
        speed_rounds: How often each artifact is timed.

    Raises:
        SourceRefused: If the source itself cannot be read.
        StepFailed: If the pass of the source crashed, timed out or was ended for memory.
    """
    artifacts = tuple(each.artifact for each in built if each.artifact)
    if not artifacts:
        return tuple(_evaluation(each, None, None) for each in built)
    parts = len(artifacts) + 2
    reading = fidelity.read_source(weights, texts, workspace.part(0, parts))
    fidelities = {
        artifact.variant: fidelity.measure(artifact, reading, workspace.part(place, parts))
        for place, artifact in enumerate(artifacts, start=1)
    }
    measured = speed.measure(artifacts, workspace.part(parts - 1, parts), speed_rounds)
    speeds = {each.variant: found for each, found in zip(artifacts, measured, strict=True)}
    return tuple(
        _evaluation(each, fidelities.get(each.variant), speeds.get(each.variant)) for each in built
    )


def _evaluation(
    built: BuildResult, fidelity: Fidelity | str | None, speed: Speed | str | None
) -> Evaluation:
    """Return a candidate's figures; a text in place of a figure is the reason why it is missing."""
    reasons = [each for each in (built.reason, fidelity, speed) if isinstance(each, str)]
    return Evaluation(
        built=built,
        fidelity=fidelity if isinstance(fidelity, Fidelity) else None,
        speed=speed if isinstance(speed, Speed) else None,
        reason=next(iter(reasons), None),
    )
