"""The candidates of a recipe: what became of each, and which one goes on."""

from typing import Literal

from slipway.values.answers import Severity
from slipway.values.artifacts import Artifact, VariantPrecision
from slipway.values.base import Value
from slipway.values.figures import METRICS, Estimate, Fidelity, Figures, Metric, Speed

GateState = Literal["pass", "fail", "inconclusive"]


class BuildResult(Value):
    """One candidate of a recipe, built or not.

    Attributes:
        variant: Name for people, such as ``cpu-int8-rtn-block-32``.
        precision: Type of its weights, which decides its default gates.
        artifact: What was built or selected; None if that failed.
        reason: Why it failed, in one line; None if it did not.
    """

    variant: str
    precision: VariantPrecision
    artifact: Artifact | None
    reason: str | None = None


class Evaluation(Value):
    """One candidate of a recipe, measured against the source.

    Attributes:
        built: What was built.
        fidelity: How close it is; None if it could not be measured.
        speed: How fast it is; None if it could not be measured.
        reason: Why it could not be built or measured, in one line; None if it could.
    """

    built: BuildResult
    fidelity: Fidelity | None
    speed: Speed | None
    reason: str | None = None

    @property
    def variant(self) -> str:
        """Name of the candidate."""
        return self.built.variant

    @property
    def figures(self) -> Figures:
        """Every figure that was measured."""
        found: Figures = {}
        if self.built.artifact:
            found["size_bytes"] = Estimate.exact(self.built.artifact.stored.size_bytes)
        if self.fidelity:
            found["compared_tokens"] = Estimate.exact(self.fidelity.tokens)
            found["broken_positions"] = Estimate.exact(self.fidelity.broken)
        for measured in (self.fidelity, self.speed):
            for name, figure in measured or ():
                if name in METRICS and figure is not None:
                    exact = not isinstance(figure, Estimate)
                    found[name] = Estimate.exact(figure) if exact else figure
        return found


class GateResult(Value):
    """One gate, and what it said of one candidate.

    Attributes:
        metric: The figure that it limits.
        rule: The limit in words, such as ``at most 0.02`` or ``at most 5 % below the champion``.
        limit: The limit as a number in the metric's unit.
        observed: The figure; None if it was not measured.
        state: ``inconclusive`` when the figure's interval lies on both sides of the limit, or
            nothing was measured.
        severity: A failed ``critical`` gate blocks, a ``warning`` is shown.
    """

    metric: Metric
    rule: str
    limit: float | None
    observed: Estimate | None
    state: GateState
    severity: Severity

    @property
    def blocks(self) -> bool:
        """Whether the candidate may not go on because of it."""
        return self.severity == "critical" and self.state != "pass"


class ScoredCandidate(Value):
    """A measured candidate and what the gates said of it.

    Attributes:
        evaluation: What was measured.
        gates: One result per gate; empty when there was nothing to weigh.
    """

    evaluation: Evaluation
    gates: tuple[GateResult, ...]

    @property
    def passes(self) -> bool:
        """Whether every critical gate holds."""
        return bool(self.gates) and not any(gate.blocks for gate in self.gates)


class Selection(Value):
    """The candidate that goes on, and those that do not.

    Attributes:
        candidates: Every candidate, in the recipe's order.
        variant: Name of the chosen one.
        reason: Why this one, in one line.
    """

    candidates: tuple[ScoredCandidate, ...]
    variant: str
    reason: str

    @property
    def chosen(self) -> ScoredCandidate:
        """The candidate that goes on."""
        return next(each for each in self.candidates if each.evaluation.variant == self.variant)

    @property
    def precision(self) -> VariantPrecision:
        """Type of its weights."""
        return self.chosen.evaluation.built.precision

    @property
    def artifact(self) -> Artifact:
        """What it was built as."""
        artifact = self.chosen.evaluation.built.artifact
        assert artifact is not None  # noqa: S101 - only what was built can be chosen
        return artifact
