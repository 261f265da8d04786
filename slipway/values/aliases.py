"""Who changed an alias, and who was champion when."""

from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, Field

from slipway.values.base import Value

PromotionTarget = Literal["champion", "candidate", "approval"]
ApprovalDecision = Literal["approve", "reject"]
AliasChangeKind = Literal["promotion", "rollback", "rejection", "by-hand", "restored", "clean-up"]


class AuditInfo(Value):
    """Who or what changes something, and why.

    Attributes:
        actor: A person (a user of MLflow, or ``user@host``), ``schedule``, ``event …``,
            ``Prefect UI``, ``MLflow UI``.
    """

    actor: str = Field(min_length=1)
    reason: str = Field(min_length=1, max_length=1000)


class AliasChange(Value):
    """A recorded change of a model's aliases.

    Attributes:
        kind: A rejection or a clean-up changes no champion, and nor does a promotion that stops at
            ``candidate``.
        before: Champion before it, None without one; likewise ``after``.
    """

    run_id: str
    kind: AliasChangeKind
    at: datetime
    audit: AuditInfo
    before: int | None
    after: int | None
    version: int | None

    @property
    def moved(self) -> bool:
        """Whether it made another version champion."""
        return self.after != self.before


class ChampionPeriod(Value):
    """How long one version was champion.

    Attributes:
        version: None for a time without a champion.
        since: None where nothing recorded the beginning.
        until: None if it lasts, or if nothing recorded its end.
        run_id: MLflow run that records it; None for a change by hand that is not recorded yet.
        elsewhere: Which version it is in other environments, such as ``from dev v3``.
    """

    version: int | None
    since: datetime | None
    until: datetime | None
    kind: AliasChangeKind
    audit: AuditInfo
    run_id: str | None
    elsewhere: tuple[str, ...] = ()


class LastRelease(Value):
    """How the last release of a model that was decided ended.

    Attributes:
        verdict: ``promoted``, ``rejected`` or ``inconclusive``.
        reason: The state of its version, where that keeps it from being champion; else why it ended
            so.
        run_id: MLflow run of that release.
    """

    at: AwareDatetime
    verdict: str
    reason: str
    run_id: str


class EarlierRejection(Value):
    """Why a release key is not released again; ``run_id`` is the MLflow run of that release."""

    run_id: str
    kind: Literal["rejected", "inconclusive"]
    reasons: tuple[str, ...]
