"""Releases as they are read back from MLflow and compared."""

from typing import Literal

from pydantic import Field

from slipway.values.base import Value
from slipway.values.evaluations import GateResult
from slipway.values.figures import Estimate, Figures, Metric
from slipway.values.summary import Change
from slipway.values.versions import Manifest

Trend = Literal[
    "better",
    "worse",
    "equal",
    "different",
    "within the interval",
    "too small to tell",
    "not comparable",
]


class ReleaseRecord(Value):
    """What the MLflow run of a release, or of one of its candidates, holds.

    Attributes:
        verdict: Verdict on a release, state of a candidate; None where neither was recorded.
        gates: Empty for a candidate, and for a release of before gates were recorded.
        manifest: What the release is made of; None for the same two.
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
    """One figure of two releases; None where it was not measured.

    Attributes:
        share: The difference as a share of the earlier figure; None where there is none.
        trend: ``within the interval`` where both intervals overlap, so that the difference may be
            chance; ``too small to tell`` where a time, a speed or a memory has no interval and
            differs by less than 5 %; ``different`` where no direction is better.
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
    """Two releases side by side; ``changes`` are differences between their manifests."""

    model: str
    before: ReleaseRecord
    after: ReleaseRecord
    figures: tuple[FigureChange, ...]
    changes: tuple[Change, ...]
    differing: tuple[AnswerChange, ...]
