"""The candidates of a recipe: built, measured, scored, and one of them selected."""

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
        artifact: The artifact; None if it could not be built.
        reason: Why not, in one line.
    """

    variant: str
    precision: VariantPrecision
    artifact: Artifact | None
    reason: str | None = None


class Evaluation(Value):
    """One candidate of a recipe, measured against the source.

    Attributes:
        built: The candidate, built or not.
        fidelity: None if it could not be measured.
        speed: None if it could not be measured.
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
    def failure(self) -> str:
        """Why it could not be built or measured."""
        return self.reason or self.built.reason or "no reason was given"

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
    """The result of one gate for one candidate.

    Attributes:
        metric: The figure that the gate limits.
        rule: The limit in words, such as ``at most 342 MB`` or ``at most 5 % below the champion
            (28.5 tokens/s)``.
        limit: The limit as a number in the metric's unit.
        observed: The figure; None if it was not measured.
        state: ``inconclusive`` where the figure's interval includes the limit, or nothing was
            measured.
        severity: A ``critical`` gate that does not pass blocks, a ``warning`` is shown.
    """

    metric: Metric
    rule: str
    limit: float | None
    observed: Estimate | None
    state: GateState
    severity: Severity

    @property
    def blocks(self) -> bool:
        """Whether it prevents a promotion."""
        return self.severity == "critical" and self.state != "pass"


class ScoredCandidate(Value):
    """A measured candidate with its gates, which are empty for one that was not built."""

    evaluation: Evaluation
    gates: tuple[GateResult, ...]

    @property
    def passes(self) -> bool:
        """Whether there are gates, and every critical one passes."""
        return bool(self.gates) and not any(gate.blocks for gate in self.gates)


class Selection(Value):
    """The candidates of a recipe, and which of them goes on.

    Attributes:
        candidates: Every candidate, in the recipe's order.
        variant: Name of the selected one.
        reason: Why it was selected, in one line.
    """

    candidates: tuple[ScoredCandidate, ...]
    variant: str
    reason: str

    @property
    def chosen(self) -> ScoredCandidate:
        """The selected candidate."""
        return next(each for each in self.candidates if each.evaluation.variant == self.variant)

    @property
    def precision(self) -> VariantPrecision:
        """Type of the selected candidate's weights."""
        return self.chosen.evaluation.built.precision

    @property
    def artifact(self) -> Artifact:
        """The selected candidate's artifact."""
        artifact = self.chosen.evaluation.built.artifact
        assert artifact is not None  # noqa: S101 - only what was built can be selected
        return artifact
