"""BuildResults → Evaluations: every candidate is compared with its source, and all are timed."""

from slipway.evaluation import fidelity, speed
from slipway.evaluation.runtime import unmeasurable
from slipway.system.workspace import Workspace
from slipway.values import BuildResult, Evaluation, Fidelity, Speed, Text, Weights


def evaluate(
    weights: Weights,
    built: tuple[BuildResult, ...],
    texts: tuple[Text, ...],
    workspace: Workspace,
    *,
    speed_rounds: int,
) -> tuple[Evaluation, ...]:
    """Return the measurements of every candidate, in the order of ``built``.

    A candidate that cannot be loaded or run is returned with the reason. The source is read only if
    there is a candidate to compare with it.

    Raises:
        SlipwayError: If the source itself cannot be read.
    """
    artifacts = tuple(each.artifact for each in built if each.artifact)
    if all(map(unmeasurable, artifacts)):
        return tuple(
            _evaluation(each, unmeasurable(each.artifact) if each.artifact else None, None)
            for each in built
        )
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
        runs_here=built.artifact is None or unmeasurable(built.artifact) is None,
    )
