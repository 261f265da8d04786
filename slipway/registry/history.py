"""Who was champion when: the recorded changes, compared with the aliases as they are."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from slipway.registry.alias_transaction import AliasTransactions
from slipway.registry.change_record import Aliases, AliasTransaction, ChangeRecord
from slipway.registry.lookup import registered_name
from slipway.registry.transitions import Command, state_in
from slipway.tracking.tags import PENDING_EVENT
from slipway.values import AliasChange, AuditInfo, ChampionPeriod

BY_HAND = AuditInfo(actor="unknown", reason="moved by hand, in the MLflow UI or through its API")

#: Changes that make only what passed its gates, and was approved where that is asked for, champion.
_APPROVED_BY = {"promotion", "rollback"}


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
            self._require_alone(model)
            champion = self.champion(model)
            recorded = recorded_champion(self.changes(model))
            if recorded == champion:
                return None
            nothing = AliasTransaction(
                model=model, kind="by-hand", audit=BY_HAND, version=champion, aliases={}
            )
            record = ChangeRecord(
                transaction=nothing,
                undo=nothing,
                before=recorded,
                after=champion,
                lease=self._lease(),
            )
            self.client.set_terminated(self._open(record), "FINISHED")
        return self.changes(model)[-1]

    def undo_unapproved_change(self, model: str) -> AliasChange | None:
        """Return the alias from a version that somebody chose by hand and nobody ever approved.

        For models whose champions a person approves. A version that a promotion or a rollback made
        champion before may be chosen by hand.

        Returns:
            The change back to the recorded champion; to none, if that one may not serve any more.
            None if there was nothing to undo.
        """
        with self._locked(model):
            self._recover(model)
            changes, champion = self.changes(model), self.champion(model)
            recorded = recorded_champion(changes)
            # a candidate that waits is recorded with the champion that it found
            promoted = [each for each in changes if each.moved and each.kind in _APPROVED_BY]
            if champion is None or champion in {recorded, *(each.after for each in promoted)}:
                return None
            if state_in(self.state(model, champion)) == "approved":
                return None
            state = self.state(model, recorded) if recorded else None
            target = recorded if state and state.obstacle is None else None
            transaction = self._back_to(model, champion, target)
            commands: dict[int, Command] = {target: "serve"} if target else {}
            with self._recorded(transaction, commands) as run_id:
                pass
            return next(change for change in self.changes(model) if change.run_id == run_id)

    def _back_to(self, model: str, champion: int, target: int | None) -> AliasTransaction:
        aliases: Aliases = {}
        reference = registered_name(model, "transformers")
        pair = self._reference_of(model, target) if target else None
        if pair or self.champion(reference):
            aliases[reference] = {"champion": pair}
        # last: after a kill, what was chosen by hand is found here and undone by the next run
        aliases[model] = {"champion": target}
        reason = f"version {champion} was made champion by hand, and nobody approved it"
        return AliasTransaction(
            model=model,
            kind="restored",
            audit=AuditInfo(actor="reconcile", reason=reason),
            version=champion,
            aliases=aliases,
            tag_changes={model: {target: {PENDING_EVENT: "pending"}}} if target else {},
        )

    def pending_events(self, model: str) -> tuple[AliasChange, ...]:
        """Return the changes whose event was not sent yet, oldest first."""
        filters = f"name = '{model}' AND tags.`{PENDING_EVENT}` = 'pending'"
        versions = {int(each.version) for each in self.client.search_model_versions(filters)}
        last = {change.after: change for change in self.changes(model) if change.moved}
        return tuple(change for version, change in last.items() if version in versions)

    def mark_event_sent(self, model: str, change: AliasChange) -> None:
        """Record that the event of ``change`` was sent, unless a later one has to be sent too."""
        with self._locked(model):
            self._recover(model)
            if change.after is not None and change in self.pending_events(model):
                self._set_tag(model, change.after, PENDING_EVENT, None)


def recorded_champion(changes: Sequence[AliasChange]) -> int | None:
    """Return the champion that the last recorded change of champions led to.

    Changes of candidates say which champion they found: one that a hand chose is not recorded yet.

    Args:
        changes: Oldest first.
    """
    return next((change.after for change in reversed(changes) if change.moved), None)


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
        if change.kind == "by-hand" and found and change.after == holder:
            continue  # a change of a candidate has found it before it was recorded
        if change.before != holder:
            found.append(_by_hand(change.before))
        if change.moved:
            found.append(_begun_by(change))
        holder = change.after
    if champion != holder:
        found.append(_by_hand(champion))
    return tuple(_ended(found))


def champion_at(changes: Iterable[AliasChange], champion: int | None, at: datetime) -> int | None:
    """Return the version that was champion at a moment: the one before the next change."""
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
