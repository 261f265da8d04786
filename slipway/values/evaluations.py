"""The candidates of a recipe: built, measured, scored, and one of them selected."""

from itertools import chain
from typing import Literal

from pydantic import Field

from slipway.values.answers import Severity
from slipway.values.artifacts import Artifact, VariantPrecision
from slipway.values.base import Value
from slipway.values.figures import METRICS, Estimate, Fidelity, Figures, Speed
from slipway.values.paired import SuitePower

GateState = Literal["pass", "fail", "inconclusive"]

#: Whether what has a state holds, as a check says it; None where that is unknown.
PASSED: dict[GateState, bool | None] = {"pass": True, "fail": False, "inconclusive": None}


class BuildResult(Value):
    """One candidate of a recipe; without an artifact and with a reason if it was not built."""

    variant: str
    precision: VariantPrecision
    artifact: Artifact | None
    reason: str | None = None


class TaskComparison(Value):
    """A source and a candidate on the same items of a task.

    Attributes:
        metric: The harness' name, with that of its filter if it has one, as ``exact_match.strict``.
        items: How many they are.
        difference: Candidate less source, paired by item; None for a single item and where only
            the totals are known.
        state: Whether the candidate is within the margin; None without one.
        blocks: Whether the state prevents a promotion.
        power: How surely a loss of the margin is found; None without a margin, and where items are
            not simply right or wrong.
    """

    task: str
    metric: str
    items: int = Field(ge=0)
    source: float
    candidate: float
    higher_is_better: bool
    difference: Estimate | None
    state: GateState | None = None
    blocks: bool = False
    power: SuitePower | None = None

    @property
    def loss(self) -> Estimate | None:
        """By how much the candidate is worse; negative if it is better."""
        found = self.difference
        return found.negative if found and self.higher_is_better else found


class Evaluation(Value):
    """One candidate of a recipe, measured against the source, or the reason why it was not.

    Attributes:
        tasks: What it reached, by the names of the entry's tasks; without those that were not run.
        runs_here: Whether the machine that measures has the device that it was made for.
    """

    built: BuildResult
    fidelity: Fidelity | None
    speed: Speed | None
    tasks: dict[str, tuple[TaskComparison, ...]] = Field(default_factory=dict)
    reason: str | None = None
    runs_here: bool = True

    @property
    def variant(self) -> str:
        """Name of the candidate."""
        return self.built.variant

    @property
    def task_comparisons(self) -> tuple[TaskComparison, ...]:
        """What it reached on all tasks."""
        return tuple(chain.from_iterable(self.tasks.values()))

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
        metric: One of ``Metric``, or ``<task>.<metric>.loss`` of a task.
        rule: The limit in words, such as ``at most 342 MB`` or ``at most 5 % below the champion
            (28.5 tokens/s)``.
        observed: The figure; None if it was not measured.
        state: ``inconclusive`` where the figure's interval includes the limit, or nothing was
            measured.
    """

    metric: str
    rule: str
    limit: float | None
    observed: Estimate | None
    state: GateState
    severity: Severity

    @property
    def passed(self) -> bool | None:
        """Whether it holds, as a check says it."""
        return PASSED[self.state]

    @property
    def blocks(self) -> bool:
        """Whether it prevents a promotion."""
        return self.severity == "critical" and self.state != "pass"


class ScoredCandidate(Value):
    """A measured candidate with its gates, which are empty for one that was not built.

    Attributes:
        accepted: Why it was not measured, where its entry accepts that.
    """

    evaluation: Evaluation
    gates: tuple[GateResult, ...]
    accepted: str | None = None

    @property
    def passes(self) -> bool:
        """Whether there are gates or none are needed, and every critical one passes."""
        weighed = bool(self.gates or self.accepted)
        return weighed and not any(gate.blocks for gate in self.gates)


class Selection(Value):
    """The candidates of a recipe, and which of them goes on."""

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
