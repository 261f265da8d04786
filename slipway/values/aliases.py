"""Who moved an alias, and who was champion when."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from slipway.values.base import Value

PromotionTarget = Literal["champion", "candidate", "approval"]
ApprovalDecision = Literal["approve", "reject"]
AliasChangeKind = Literal["promotion", "rollback", "rejection", "by-hand"]


class AuditInfo(Value):
    """Why something moves.

    Attributes:
        actor: A person (``user@host``), ``schedule``, ``event …``, ``Prefect UI``, ``MLflow UI``.
        reason: In words, for whoever reads the history.
    """

    actor: str = Field(min_length=1)
    reason: str = Field(min_length=1, max_length=1000)


class AliasChange(Value):
    """One entry of the record: a decision about aliases, as it was carried out.

    Attributes:
        run_id: MLflow run that records it.
        kind: A rejection moves no champion, and nor does a promotion that stops at ``candidate``.
        at: When it was begun.
        cause: By whom or what, and why.
        before: Champion before it; None for none.
        after: Champion after it.
        version: The version that it is about.
    """

    run_id: str
    kind: AliasChangeKind
    at: datetime
    cause: AuditInfo
    before: int | None
    after: int | None
    version: int | None


class ChampionPeriod(Value):
    """How long one version was champion.

    Attributes:
        version: The version; None for a time without a champion.
        since: When it began; None where nothing recorded it.
        until: When it ended; None if it lasts, or if nothing recorded its end.
        kind: What made it champion.
        cause: By whom or what, and why.
        run_id: MLflow run that records it; None for a move by hand that is not recorded yet.
    """

    version: int | None
    since: datetime | None
    until: datetime | None
    kind: AliasChangeKind
    cause: AuditInfo
    run_id: str | None


class EarlierRejection(Value):
    """Why a release key is not to be released again.

    Attributes:
        run_id: MLflow run of the release that was refused.
        kind: The verdict.
        reasons: In words.
    """

    run_id: str
    kind: Literal["rejected", "inconclusive"]
    reasons: tuple[str, ...]
