"""What releases left behind, as it is read back and compared."""

from typing import Literal

from pydantic import Field

from slipway.values.base import Value
from slipway.values.evaluations import GateResult
from slipway.values.figures import Estimate, Figures, Metric
from slipway.values.summary import Change
from slipway.values.versions import Manifest

Trend = Literal["better", "worse", "equal", "within the interval", "not comparable"]


class ReleaseRecord(Value):
    """What one run says of a release, or of one of its candidates.

    Attributes:
        name: What it is called here, such as ``version 3``.
        run_id: The run.
        variant: Name of the artifact.
        verdict: What was decided of it, in a word; None where nothing was.
        reasons: Why.
        figures: What was measured.
        gates: What its gates said; empty for a candidate, and for a release that is too old.
        manifest: What it is made of; None for the same two.
        answers: What its ONNX wrapper answered, by prompt.
    """

    name: str
    run_id: str
    variant: str
    verdict: str | None
    reasons: str
    figures: Figures
    gates: tuple[GateResult, ...] = ()
    manifest: Manifest | None = None
    answers: dict[str, str] = Field(default={})


class FigureChange(Value):
    """One figure of two releases.

    Attributes:
        metric: Which figure.
        before: The earlier one's; None if it was not measured.
        after: The later one's; None if it was not measured.
        share: The difference as a share of the earlier one; None where there is none.
        trend: What that means; ``within the interval`` when both intervals overlap, so that the
            difference may be chance.
    """

    metric: Metric
    before: Estimate | None
    after: Estimate | None
    share: float | None
    trend: Trend


class AnswerChange(Value):
    """A prompt that two releases answer differently.

    Attributes:
        prompt_id: Which prompt.
        before: The earlier one's answer.
        after: The later one's answer.
    """

    prompt_id: str
    before: str
    after: str


class Comparison(Value):
    """Two releases side by side.

    Attributes:
        model: Name of the catalogue's entry.
        before: The earlier one.
        after: The later one.
        figures: Every figure that either has.
        changes: What they are made of, as far as it differs.
        differing: The prompts that they answer differently.
    """

    model: str
    before: ReleaseRecord
    after: ReleaseRecord
    figures: tuple[FigureChange, ...]
    changes: tuple[Change, ...]
    differing: tuple[AnswerChange, ...]
