"""Releases as they are read back from MLflow and compared."""

from typing import Literal

from pydantic import Field

from slipway.values.base import Value
from slipway.values.evaluations import GateResult
from slipway.values.figures import Estimate, Figures, Metric
from slipway.values.summary import Change
from slipway.values.versions import Manifest

Trend = Literal["better", "worse", "equal", "within the interval", "not comparable"]


class ReleaseRecord(Value):
    """What the MLflow run of a release, or of one of its candidates, holds.

    Attributes:
        name: Title for people, such as ``version 3``.
        run_id: Identifier of the MLflow run.
        variant: Name of the artifact.
        verdict: Verdict on a release, state of a candidate; None where neither was recorded.
        reasons: Reasons for the verdict or the state.
        figures: Every figure that was measured.
        gates: Empty for a candidate, and for a release of before gates were recorded.
        manifest: What the release is made of; None for the same two.
        answers: Answers of the ONNX wrapper, by prompt.
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
        metric: Name of the figure.
        before: The earlier release's; None if it was not measured.
        after: The later release's; None if it was not measured.
        share: The difference as a share of the earlier figure; None where there is none.
        trend: ``within the interval`` where both intervals overlap, so that the difference may be
            chance.
    """

    metric: Metric
    before: Estimate | None
    after: Estimate | None
    share: float | None
    trend: Trend


class AnswerChange(Value):
    """A prompt that two releases answer differently."""

    prompt_id: str
    before: str
    after: str


class Comparison(Value):
    """Two releases side by side.

    Attributes:
        model: Name of the catalogue's entry.
        before: The earlier release.
        after: The later release.
        figures: Every figure that either release has.
        changes: Differences between their manifests.
        differing: The prompts that they answer differently.
    """

    model: str
    before: ReleaseRecord
    after: ReleaseRecord
    figures: tuple[FigureChange, ...]
    changes: tuple[Change, ...]
    differing: tuple[AnswerChange, ...]
