"""What is decided about a candidate, and how a release ended."""

from datetime import datetime
from textwrap import shorten
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from slipway.values.base import Value
from slipway.values.evaluations import GateResult
from slipway.values.figures import Figures
from slipway.values.sources import SourceCommit
from slipway.values.versions import LoggedWrapper, RegisteredVersions

_FIRST, _CHARACTERS = 4, 200  # of the reasons that fit a screen


class _Judged(Value):
    """What was decided, and why.

    Attributes:
        kind: One word.
        reasons: Sentences; the report has all of them.
    """

    kind: str
    reasons: tuple[str, ...] = Field(min_length=1)

    @property
    def brief(self) -> tuple[str, ...]:
        """The first reasons, each on a line or two, and how many there are beside them."""
        first = [shorten(each, _CHARACTERS, placeholder=" …") for each in self.reasons[:_FIRST]]
        more = len(self.reasons) - _FIRST
        return (*first, *([f"and {more} more in the report"] if more > 0 else []))


class Promoted(_Judged):
    """The candidate may serve."""

    kind: Literal["promoted"] = "promoted"


class Rejected(_Judged):
    """The candidate must not serve; the champion stays."""

    kind: Literal["rejected"] = "rejected"


class Inconclusive(_Judged):
    """Too little is known to decide; so the candidate must not serve."""

    kind: Literal["inconclusive"] = "inconclusive"


Verdict = Annotated[Promoted | Rejected | Inconclusive, Field(discriminator="kind")]


class Decision(Value):
    """The results of all gates, and the verdict that follows from them and the smoke test."""

    gates: tuple[GateResult, ...]
    verdict: Verdict


class Champion(Value):
    """The champion at the start of a release; every step compares with this one.

    Attributes:
        wrapper: Its ONNX wrapper, with the contract that its release recorded.
        run_id: MLflow run of its release; None if somebody registered it without one.
        source: What it was made of; None if somebody registered it without a release.
    """

    wrapper: LoggedWrapper
    run_id: str | None
    figures: Figures
    source: SourceCommit | None = None

    @property
    def version(self) -> int:
        """Number of the ONNX wrapper's version."""
        return self.wrapper.version


class Promotion(Value):
    """Aliases that a release has set.

    Attributes:
        aliases: Those that name the candidate since.
        previous: Version of the ONNX wrapper that was champion before; None for the first.
    """

    run_id: str
    at: datetime
    aliases: tuple[str, ...]
    previous: int | None


class Release(Value):
    """How a release ended.

    Attributes:
        provenance: How the source's weights came to be, as in ``Revision``.
        existed: Whether an earlier run had already released the same key.
        waiting: Whether a person still has to approve it.
        dated: When its source was committed, as in ``SourceCommit``.
    """

    versions: RegisteredVersions
    repo: str
    commit: str
    variant: str
    verdict: Verdict
    promotion: Promotion | None
    provenance: str = ""
    existed: bool = False
    waiting: bool = False
    dated: AwareDatetime | None = None

    @property
    def source_commit(self) -> SourceCommit:
        """What it was made of."""
        return SourceCommit(repo=self.repo, commit=self.commit, at=self.dated)

    @property
    def may_be_repeated(self) -> bool:
        """Whether it serves or served; what waits or is quarantined needs a person's word first."""
        return isinstance(self.verdict, Promoted) and not self.waiting
