"""Who was champion when: the recorded changes, compared with the aliases as they are."""

from collections.abc import Iterable
from datetime import datetime

from slipway.registry.alias_transaction import AliasTransaction, AliasTransactions, ChangeRecord
from slipway.tracking.tags import PENDING_EVENT
from slipway.values import AliasChange, AuditInfo, ChampionPeriod

BY_HAND = AuditInfo(actor="unknown", reason="moved by hand, in the MLflow UI or through its API")


class History(AliasTransactions):
    """Reads the recorded changes, and records those that were made by hand."""

    def history(self, model: str) -> tuple[ChampionPeriod, ...]:
        """Return every period of a champion, oldest first, the present one last."""
        return champion_periods(self.changes(model), self.champion(model))

    def champion_at(self, model: str, at: datetime) -> int | None:
        """Return the version that was champion at a moment, as far as it was recorded."""
        return champion_at(self.changes(model), self.champion(model), at)

    def record_manual_change(self, model: str) -> AliasChange | None:
        """Record a champion that somebody set by hand; None if record and alias agree."""
        with self._locked(model):
            self._recover(model)
            changes, champion = self.changes(model), self.champion(model)
            recorded = changes[-1].after if changes else None
            if recorded == champion:
                return None
            nothing = AliasTransaction(
                model=model, kind="by-hand", audit=BY_HAND, version=champion, aliases={}
            )
            record = ChangeRecord(
                transaction=nothing, undo=nothing, before=recorded, after=champion
            )
            self.client.set_terminated(self._open(record), "FINISHED")
        return self.changes(model)[-1]

    def pending_events(self, model: str) -> tuple[AliasChange, ...]:
        """Return the changes whose event was not sent yet, oldest first."""
        filters = f"name = '{model}' AND tags.`{PENDING_EVENT}` = 'pending'"
        versions = {int(each.version) for each in self.client.search_model_versions(filters)}
        last = {change.after: change for change in self.changes(model) if change.moved}
        return tuple(change for version, change in last.items() if version in versions)

    def mark_event_sent(self, model: str, version: int) -> None:
        """Record that the event of the change to ``version`` was sent."""
        self._set_tag(model, version, PENDING_EVENT, None)


def champion_periods(
    changes: Iterable[AliasChange], champion: int | None
) -> tuple[ChampionPeriod, ...]:
    """Return every period of a champion, oldest first, the present one last.

    Where a change began from another champion than the change before it had left, or where the
    alias is not where the last change left it, somebody moved the alias by hand in between.

    Args:
        changes: What was recorded, in any order.
        champion: Version that the alias names now; None for none.
    """
    found: list[ChampionPeriod] = []
    holder: int | None = None
    for change in sorted(changes, key=lambda each: each.at):
        if change.before != holder:
            found.append(_by_hand(change.before))
        if change.moved:
            found.append(_begun_by(change))
        holder = change.after
    if champion != holder:
        found.append(_by_hand(champion))
    return tuple(_ended(found))


def champion_at(changes: Iterable[AliasChange], champion: int | None, at: datetime) -> int | None:
    """Return the version that was champion at a moment: the one before the next change.

    Args:
        changes: What was recorded, in any order.
        champion: Version that the alias names now; None for none.
        at: The moment.
    """
    later = [change for change in changes if change.at > at and change.moved]
    return min(later, key=lambda change: change.at).before if later else champion


def _begun_by(change: AliasChange) -> ChampionPeriod:
    return ChampionPeriod(
        version=change.after,
        since=change.at,
        until=None,
        kind=change.kind,
        audit=change.audit,
        run_id=change.run_id,
    )


def _by_hand(version: int | None) -> ChampionPeriod:
    return ChampionPeriod(
        version=version, since=None, until=None, kind="by-hand", audit=BY_HAND, run_id=None
    )


def _ended(found: list[ChampionPeriod]) -> Iterable[ChampionPeriod]:
    """End each period where the next one begins."""
    for period, successor in zip(found, [*found, None][1:], strict=True):
        yield period.model_copy(update={"until": successor.since}) if successor else period
