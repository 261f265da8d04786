"""Who was champion when: the recorded changes, compared with the aliases as they are."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import takewhile

from slipway.registry.alias_transaction import AliasTransactions
from slipway.registry.change_record import (
    OF_CHAMPIONS,
    Aliases,
    AliasTransaction,
    ChangeRecord,
)
from slipway.registry.transitions import Command, state_in
from slipway.tracking.tags import PENDING_EVENT, PROMOTED_FROM, PROMOTED_TO
from slipway.values import (
    AliasChange,
    AuditInfo,
    ChampionPeriod,
    registered_name,
    registered_names,
)

BY_HAND = AuditInfo(actor="unknown", reason="moved by hand, in the MLflow UI or through its API")

#: Changes that make only what passed its gates, and was approved where that is asked for, champion.
_APPROVED_BY = {"promotion", "rollback"}


class History(AliasTransactions):
    """Reads the recorded changes, and records those that were made by hand."""

    def history(self, model: str, last: int | None = None) -> tuple[ChampionPeriod, ...]:
        """Return the periods of champions, oldest first, the present one last.

        Args:
            model: The serving model.
            last: How many of the newest; None for all.
        """
        changes = newest_moves(self.newest_changes(model), last)
        periods = champion_periods(changes, self.champion(model))[-(last or 0) :]
        places = self._places_of(model, {each.version for each in periods if each.version})
        return tuple(
            period.model_copy(update={"elsewhere": places.get(period.version or 0, ())})
            for period in periods
        )

    def _places_of(self, model: str, versions: Collection[int]) -> dict[int, tuple[str, ...]]:
        """Return where else the versions are, from the lowest number on."""
        if not versions:
            return {}
        filters = f"name = '{model}' AND version_number >= {min(versions)}"
        found = self.client.search_model_versions(filters)
        return {int(each.version): elsewhere(each.tags) for each in found}

    def champion_at(self, model: str, at: datetime) -> int | None:
        """Return the version that was champion at a moment, as far as it was recorded."""
        later = takewhile(lambda change: change.at > at, self.newest_changes(model))
        return champion_at(later, self.champion(model), at)

    def record_manual_change(self, model: str) -> AliasChange | None:
        """Record a champion that somebody set by hand; None if record and alias agree."""
        with self._locked(model):
            self._recover(model)
            self._require_alone(model)
            champion = self.champion(model)
            recorded = recorded_champion(self.newest_changes(model))
            if recorded == champion:
                return None
            aliases: Aliases = {
                name: {"champion": version}
                for name in registered_names(model)
                if (version := self.champion(name))
            }
            found = AliasTransaction(
                model=model, kind="by-hand", audit=BY_HAND, version=champion, aliases=aliases
            )
            record = ChangeRecord(
                transaction=found,
                undo=found,
                before=recorded,
                after=champion,
                lease=self._next_lease(model),
            )
            run_id = self._open(record)
            self.client.set_terminated(run_id, "FINISHED")
        return record.change(run_id)

    def manual_fault(self, model: str, *, needs_approval: bool) -> str | None:
        """Return what is wrong with a champion that somebody chose by hand.

        Where people have roles, no hand may choose one: MLflow does not say whose hand it was.

        Args:
            model: The serving model.
            needs_approval: Whether a person has to approve each champion. A version that a
                promotion or a rollback made champion before may be chosen by hand then.

        Returns:
            None if nothing is, if nobody chose one by hand, and while a change is under way.
        """
        recorded, champion = recorded_champion(self.newest_changes(model)), self.champion(model)
        return self._manual_fault(model, recorded, champion, needs_approval=needs_approval)

    def _manual_fault(
        self, model: str, recorded: int | None, champion: int | None, *, needs_approval: bool
    ) -> str | None:
        """Return what ``manual_fault`` does, of what was read already."""
        if champion == recorded:
            return None
        if self._open_records(model, OF_CHAMPIONS):
            return None
        fault = None
        if self.has_roles:
            fault = "no promoter's record says so"
        elif champion and needs_approval and not self._is_approved(model, champion):
            fault = "nobody approved it"
        elif champion and self.copies.public_key:
            fault = self._fault_of(model, champion)
        what = f"version {champion} was made champion" if champion else "the champion was removed"
        return fault and f"{what} by hand, and {fault}"

    def _is_approved(self, model: str, version: int) -> bool:
        """Return whether a person approved a version, or a recorded change made it champion."""
        # a candidate that waits is recorded with the champion that it found
        return state_in(self.state(model, version)) == "approved" or any(
            change.after == version and change.moved and change.kind in _APPROVED_BY
            for change in self.newest_changes(model)
        )

    def undo_manual_change(self, model: str, *, needs_approval: bool) -> AliasChange | None:
        """Return the alias from a version that somebody chose by hand and that may not have it.

        Args:
            model: The serving model.
            needs_approval: As ``manual_fault`` has it.

        Returns:
            The change back to the recorded champion; to none, if that one may not serve any more.
            None if there was nothing to undo.
        """
        with self._locked(model):
            self._recover(model)
            recorded, champion = recorded_champion(self.newest_changes(model)), self.champion(model)
            fault = self._manual_fault(model, recorded, champion, needs_approval=needs_approval)
            state = self.state(model, recorded) if recorded else None
            target = recorded if state and state.obstacle is None else None
            if fault is None or champion == target:
                return None
            transaction = self._back_to(model, champion, target, fault)
            commands: dict[int, Command] = {target: "serve"} if target else {}
            with self._recorded(transaction, commands) as run_id:
                pass
            return self._change_of(run_id)

    def _back_to(
        self, model: str, champion: int | None, target: int | None, fault: str
    ) -> AliasTransaction:
        aliases: Aliases = {}
        reference = registered_name(model, "transformers")
        pair = self._reference_of(model, target) if target else None
        if pair or self.champion(reference):
            aliases[reference] = {"champion": pair}
        # last: after a kill, what was chosen by hand is found here and undone by the next run
        aliases[model] = {"champion": target}
        return AliasTransaction(
            model=model,
            kind="restored",
            audit=AuditInfo(actor="reconcile", reason=fault[:1000]),
            version=champion or target,
            aliases=aliases,
            tag_changes={model: {target: {PENDING_EVENT: "pending"}}} if target else {},
        )

    def pending_events(self, model: str) -> tuple[AliasChange, ...]:
        """Return the changes whose event was not sent yet, oldest first."""
        filters = f"name = '{model}' AND tags.`{PENDING_EVENT}` = 'pending'"
        versions = {int(each.version) for each in self.client.search_model_versions(filters)}
        changes, found = self.newest_changes(model), dict[int, AliasChange]()
        while versions - found.keys() and (change := next(changes, None)):
            if change.moved and change.after in versions:
                found.setdefault(change.after, change)
        return tuple(found.values())[::-1]

    def mark_event_sent(self, model: str, change: AliasChange) -> None:
        """Record that the event of ``change`` was sent, unless a later one has to be sent too."""
        with self._locked(model):
            self._recover(model)
            if change.after is not None and change in self.pending_events(model):
                self._set_tag(model, change.after, PENDING_EVENT, None)


def recorded_champion(changes: Iterable[AliasChange]) -> int | None:
    """Return the champion that the last recorded change of champions led to.

    Changes of candidates say which champion they found: one that a hand chose is not recorded yet.

    Args:
        changes: Newest first; read up to the one that counts.
    """
    return next((change.after for change in changes if change.moved), None)


def newest_moves(changes: Iterable[AliasChange], count: int | None) -> Iterator[AliasChange]:
    """Yield the changes of which the newest ``count`` periods follow, and one period more.

    Args:
        changes: Newest first; read no further than needed.
        count: None for all changes.
    """
    moves = 0
    for change in changes:
        yield change
        moves += change.moved
        if count is not None and moves > count:
            return


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


def elsewhere(tags: Mapping[str, str]) -> tuple[str, ...]:
    """Return where else a version is, as its tags say: ``from dev v3``, ``to prod v1``."""
    origin = [f"from {tags[PROMOTED_FROM]}"] if PROMOTED_FROM in tags else []
    names = sorted(tag for tag in tags if tag.startswith(f"{PROMOTED_TO}."))
    return (*origin, *(f"to {tag.removeprefix(f'{PROMOTED_TO}.')} {tags[tag]}" for tag in names))


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
