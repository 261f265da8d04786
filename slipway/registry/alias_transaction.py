"""Aliases of both models change together or not at all, and a run records who changed them.

The registry has no compare-and-set and no transaction. So one process at a time records what it is
about to do and what was there before, does it, reads it back, and closes its record. A failure in
between is rolled back at once; what a crashed process left behind, by the next one.

Everybody who may write to the experiment may write a record. So an open one is only carried out if
it has the shape of those that are written here.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from slipway.errors import MoveRefused, RegistryConflict, RoleMissing
from slipway.registry.change_record import (
    OF_CHAMPIONS,
    PLACES,
    Aliases,
    AliasTransaction,
    ChangeRecord,
    RecordPlace,
    TagChanges,
    belongs,
    versions_in,
    waits_for,
)
from slipway.registry.dead_releases import DeadReleases
from slipway.registry.lookup import state_of
from slipway.registry.transitions import Command, require, state_in
from slipway.registry.version_page import with_state
from slipway.system.failpoints import failpoint
from slipway.tracking import heartbeat, tags
from slipway.tracking.lease import Lease, create_run
from slipway.tracking.location import experiment_id
from slipway.tracking.tag_values import VersionTags
from slipway.values import AliasChange, LoggedWrapper, RegisteredVersions, VersionState

#: Records of earlier versions have no heartbeat; a change takes seconds.
_LONGEST_CHANGE = timedelta(hours=1)
#: MLflow orders runs by the millisecond of their start.
_TICK = timedelta(milliseconds=1)
#: More than the clocks of two machines ever differ.
_CLOCKS_DIFFER = timedelta(days=1)

#: By version of the model that serves, what a transaction does to its state.
Commands = Mapping[int, Command]


class AliasTransactions(DeadReleases):
    """Changes aliases and tags as a whole."""

    @property
    def may_promote(self) -> bool:
        """Whether this process may change a champion."""
        return self._places[:1] == OF_CHAMPIONS

    def changes(self, model: str, place: RecordPlace = "promotions") -> tuple[AliasChange, ...]:
        """Return every change of a model's aliases that is recorded in one place, oldest first.

        What ``candidates`` holds says nothing about champions.
        """
        changes = {change.run_id: change for change in self.newest_changes(model, place)}
        return tuple(sorted(changes.values(), key=lambda change: change.at))

    def newest_changes(
        self, model: str, place: RecordPlace = "promotions"
    ) -> Iterator[AliasChange]:
        """Yield what ``changes`` returns, the newest first.

        A model may have thousands of changes. MLflow reads some pages more only if the caller does.
        """
        for run_id, record in self._newest_records(model, place):
            yield record.change(run_id)

    def _newest_records(
        self, model: str, place: RecordPlace = "promotions"
    ) -> Iterator[tuple[str, ChangeRecord]]:
        """Yield the records of changes that were carried out and their runs, the newest first."""
        for run in self._search(f"{model}/{place}", "FINISHED", tags.AT):
            if record := _record(run):
                yield str(run.info.run_id), record

    def _change_of(self, run_id: str) -> AliasChange:
        """Return the change that a run records."""
        return ChangeRecord.from_tags(self.client.get_run(run_id).data.tags).change(run_id)

    def recover(self, model: str) -> tuple[str, ...]:
        """Roll back a change that a crashed process left behind, and end runs of dead processes.

        Returns:
            What was done, for the log: a sentence for each run that was ended.
        """
        with self._locked(model):
            return (*self._recover(model), *self._end_dead_releases(model))

    @contextmanager
    def consistent_read(self, model: str) -> Iterator[None]:
        """Let the body read what is there before or after a change, and never half of one.

        Raises:
            RegistryConflict: If another machine is changing the aliases.
        """
        with self._locked(model):
            self._recover(model)
            self._require_alone(model)
            yield

    def _previous_after(
        self, versions: RegisteredVersions, wrapper: LoggedWrapper
    ) -> dict[str, int | None]:
        """Return what ``previous`` becomes in one model once a release is champion.

        Both wrappers' ``previous`` are of one release: that of the champion that served before.

        Args:
            versions: Of the release.
            wrapper: That of the model.
        """
        aliases = self.aliases(versions.model)
        before, new = aliases.get("champion"), versions.onnx.version
        if before not in {None, new}:
            is_served = wrapper.kind == "onnx"
            return {"previous": before if is_served else self._reference_of(versions.model, before)}
        return {"previous": None} if aliases.get("previous") == new else {}

    @contextmanager
    def _recorded(self, transaction: AliasTransaction, commands: Commands) -> Iterator[str]:
        """Carry out ``transaction``; give the id of its run to the body, which belongs to it.

        Args:
            transaction: What changes.
            commands: What it does to the state of each version that it is about.

        Raises:
            MoveRefused: If the state of a version does not allow its command, or if a version of
                either model was deleted.
            RoleMissing: If somebody is signed in who may not do this.
            RegistryConflict: If anything fails, the body included, or if another machine is
                changing the aliases; aliases and tags are as they were.
        """
        model = transaction.model
        self._require_role(transaction)
        self._require_alone(model, waits_for(transaction))
        states = self._allowed(model, commands)
        self._require_there(model, versions_in(transaction))
        before = self.champion(model)
        record = ChangeRecord(
            transaction=transaction,
            undo=self._undo_of(transaction),
            before=before,
            after=transaction.aliases.get(model, {}).get("champion", before),
            lease=self._next_lease(model),
        )
        failpoint("alias.before-open")
        run_id = self._open(record)
        failpoint("alias.after-open")
        if conflict := self._changed_since(record, run_id, states):
            self._end(self.client.get_run(run_id), "FAILED", conflict)
            raise RegistryConflict(model, conflict)
        with heartbeat.beating(self.client, run_id):
            try:
                self._require_locked(model)
                self._set(transaction.aliases, transaction.tag_changes)
                self._read_back(transaction)
                failpoint("alias.after-set")
                yield run_id
                failpoint("alias.after-body")
                self._show_states(transaction)
                failpoint("alias.after-states")
                self._require_open(run_id)
            except Exception as error:
                self._restore(record)
                self.client.set_terminated(run_id, "FAILED")
                reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
                what = f"the change failed, and aliases and tags are as before: {reason}"
                raise RegistryConflict(model, what) from error
        failpoint("alias.before-finish")
        self.client.set_terminated(run_id, "FINISHED")
        failpoint("alias.after-finish")

    @property
    def _places(self) -> tuple[RecordPlace, ...]:
        """Return where this process may record changes, its own place first."""
        role = self.person.role if self.person else None
        if role == "reader":
            return ()
        return ("candidates",) if role == "releaser" else ("promotions", "candidates")

    def _require_role(self, transaction: AliasTransaction) -> None:
        person, places = self.person, self._places
        if person is None or (places and belongs(transaction, places[0])):
            return
        needed = "releaser" if belongs(transaction, "candidates") else "promoter"
        action = f"change {transaction.model} ({transaction.kind})"
        raise RoleMissing(person.name, person.role or "none", action, needed)

    def _require_alone(self, model: str, places: Collection[RecordPlace] = OF_CHAMPIONS) -> None:
        if self._open_records(model, places):
            raise RegistryConflict(model, "another machine moves its aliases")

    def _allowed(self, model: str, commands: Commands) -> dict[int, VersionState]:
        """Return the state of each version; refuse a command that it does not allow."""
        found = {version: self.state(model, version) for version in commands}
        for version, command in commands.items():
            require(command, model, version, found[version])
        return {version: state_in(state) for version, state in found.items()}

    def _require_there(self, model: str, versions: Iterable[tuple[str, int | None]]) -> None:
        """Refuse to change a version that somebody deleted, such as the reference of a release.

        Args:
            model: The serving model.
            versions: By registered model and number; None names none.
        """
        for name, version in versions:
            if version and not self._if_there(name, version):
                reason = f"version {version} of {name} was deleted"
                raise MoveRefused(model, reason, "release it again with --force")

    def _changed_since(
        self, record: ChangeRecord, run_id: str, states: Mapping[int, VersionState]
    ) -> str | None:
        """Return what another machine did before ``record`` was open; None if it did nothing.

        An open record keeps others out. So what is read from now on stays until it is closed; of
        two that were opened at the same moment, at least one finds the other and gives up.
        """
        model = record.transaction.model
        if self._open_records(model, waits_for(record.transaction)) - {run_id}:
            return "another machine moves its aliases"
        now = {version: state_in(self.state(model, version)) for version in states}
        if now != states or self._undo_of(record.transaction) != record.undo:
            return "another machine changed it meanwhile, so nothing was changed"
        return None

    def _show_states(self, transaction: AliasTransaction) -> None:
        """Let the pages of the versions whose tags changed, and of their runs, say their state.

        Also how their releases ended, since a person may have decided otherwise than the gates.
        """
        for name, versions in transaction.tag_changes.items():
            for number in versions:
                found = self.version(name, number)
                if found is None:
                    continue
                text = found.description or ""
                if (shown := with_state(text, state_of(found))) != text:
                    self.client.update_model_version(name, str(number), shown)
                if name == transaction.model and found.run_id:
                    self._show_on_run(str(found.run_id), state_of(found))

    def _show_on_run(self, run_id: str, state: VersionTags) -> None:
        run = self._active_run(run_id)
        if run is None:
            return
        if state.verdict:
            self._set_outcome(run, state.verdict)
        note = run.data.tags.get(tags.NOTE, "")
        if (shown := with_state(note, state)) != note:
            self.client.set_tag(run_id, tags.NOTE, shown)

    def _recover(self, model: str) -> Iterable[str]:
        """Roll back what nobody works on, and refuse what no process of ours can have begun."""
        ended: list[str] = []
        for run, place in self._abandoned(model):
            record, status = _record(run), "KILLED"
            fault = self._fault(model, record, place)
            reason = "its process was killed; its changes of aliases and tags were rolled back"
            if fault:
                status, reason = "FAILED", f"{fault}; nothing of it was carried out"
            elif record:
                failpoint("recover.before-restore")
                self._restore(record)
                failpoint("recover.after-restore")
            ended.append(self._end(run, status, reason))
        return ended

    def _abandoned(self, model: str) -> Iterator[tuple[Any, RecordPlace]]:
        """Yield the open records of nobody, and where they are, as far as this process may."""
        for place in self._places:
            for run in self._abandoned_in(model, place):
                yield run, place

    def _abandoned_in(self, model: str, place: RecordPlace) -> list[Any]:
        """Return the open records of nobody: of a dead process, of our lock, or not ours at all."""
        found, others, here = [], [], self._lock_identity()
        for run in self._open_runs(model, place).values():
            record = _record(run)
            if record is None or record.fault(model, place) or record.lease.lock == here:
                found.append(run)
            elif tags.HEARTBEAT in run.data.tags:
                others.append(run)
            elif datetime.now(UTC) - record.at > _LONGEST_CHANGE:
                found.append(run)
        return found + heartbeat.dead(self.client, others)

    def _fault(self, model: str, record: ChangeRecord | None, place: RecordPlace) -> str | None:
        """Return why an open record is not carried out; None if nothing is wrong with it."""
        if record is None:
            return "its tags are not those of a record"
        champion = record.undo.aliases.get(model, {}).get("champion")
        newest = next(self.newest_changes(model), None)
        if champion is not None and (newest is None or champion != newest.after):
            state = self.state(model, champion)
            if state is None or not state.released:
                return f"its undo makes version {champion} champion, which was never released"
        return record.fault(model, place)

    def _require_open(self, run_id: str) -> None:
        """Refuse to finish a change that another machine took for abandoned, and rolled back."""
        status = self.client.get_run(run_id).info.status
        if status != "RUNNING":
            raise LookupError(f"another process ended its record as {status}")

    def _undo_of(self, transaction: AliasTransaction) -> AliasTransaction:
        """Return the transaction that leads back."""
        aliases: Aliases = {}
        for name, targets in transaction.aliases.items():
            before = self.aliases(name)
            aliases[name] = {alias: before.get(alias) for alias in targets}
        tag_changes: TagChanges = {}
        for name, versions in transaction.tag_changes.items():
            tag_changes[name] = {}
            for version, changed in versions.items():
                found = self.tags(name, version)
                tag_changes[name][version] = {tag: found.get(tag) for tag in changed}
        return transaction.model_copy(update={"aliases": aliases, "tag_changes": tag_changes})

    def _restore(self, record: ChangeRecord) -> None:
        """Undo what still is as the transaction set it; later manual changes are kept.

        With a version that somebody deleted since, its aliases went. One that would lead back to
        such a version is removed.
        """
        for name, targets in record.transaction.aliases.items():
            found, before = self.aliases(name), record.undo.aliases[name]
            set_to = {alias: self._if_there(name, version) for alias, version in targets.items()}
            ours = [alias for alias, version in set_to.items() if found.get(alias) == version]
            self._set({name: {each: self._if_there(name, before[each]) for each in ours}}, {})
        for name, versions in record.transaction.tag_changes.items():
            for number, changed in versions.items():
                self._restore_tags(name, number, changed, record.undo.tag_changes[name][number])
        self._show_states(record.transaction)

    def _restore_tags(
        self,
        name: str,
        number: int,
        changed: Mapping[str, str | None],
        before: Mapping[str, str | None],
    ) -> None:
        if self._if_there(name, number) is None:
            return
        found = self.tags(name, number)
        for tag, value in changed.items():
            if found.get(tag) == value:
                self._set_tag(name, number, tag, before[tag])

    def _if_there(self, name: str, version: int | None) -> int | None:
        """Return a version, or None if somebody deleted it."""
        return version if version and self.state(name, version) else None

    def _set(self, aliases: Aliases, tag_changes: TagChanges) -> None:
        for name, targets in aliases.items():
            for alias, version in targets.items():
                failpoint("alias.before-alias")
                if version is None:
                    self.client.delete_registered_model_alias(name, alias)
                else:
                    self.client.set_registered_model_alias(name, alias, str(version))
                failpoint("alias.after-alias")
        failpoint("alias.after-aliases")
        for name, versions in tag_changes.items():
            for number, changed in versions.items():
                for tag, value in changed.items():
                    self._set_tag(name, number, tag, value)
                    failpoint("alias.after-tag")

    def _set_tag(self, name: str, version: int, tag: str, value: str | None) -> None:
        if value is not None:
            self.client.set_model_version_tag(name, str(version), tag, value)
        elif tag in self.tags(name, version):
            self.client.delete_model_version_tag(name, str(version), tag)

    def _read_back(self, transaction: AliasTransaction) -> None:
        for name, targets in transaction.aliases.items():
            found = self.aliases(name)
            for alias, version in targets.items():
                if found.get(alias) != version:
                    raise LookupError(f"{name}@{alias} is {found.get(alias)}, not {version}")

    def _next_lease(self, model: str) -> Lease:
        """Return a lease that starts after the newest change, also if this machine's clock is slow.

        Changes are ordered by their start. Of those that everybody may record who may release, one
        that is far ahead counts for nothing.
        """
        lease = self._lease()
        latest = lease.start + _CLOCKS_DIFFER
        for place in PLACES:
            starts = (change.at for change in self.newest_changes(model, place))
            believed = (at for at in starts if place in OF_CHAMPIONS or at <= latest)
            newest = next(believed, lease.start)
            lease = lease.model_copy(update={"start": max(lease.start, newest + _TICK)})
        return lease

    def _open(self, record: ChangeRecord) -> str:
        """Write a record into a run that is running, and return the run's id."""
        transaction = record.transaction
        experiment = self._experiment(f"{transaction.model}/{self._places[0]}")
        name = f"{transaction.kind} v{transaction.version}"
        return create_run(self.client, experiment, record.lease, name, record.to_tags())

    def _experiment(self, name: str) -> str:
        return experiment_id(self.client, name, self.location)

    def _open_records(self, model: str, places: Collection[RecordPlace]) -> set[str]:
        """Return the ids of the runs of changes that somebody is making."""
        return {run_id for place in places for run_id in self._open_runs(model, place)}

    def _open_runs(self, model: str, place: RecordPlace) -> dict[str, Any]:
        """Return the runs of changes that are not closed, by their ids."""
        runs = self._search(f"{model}/{place}", "RUNNING", tags.AT)
        return {str(run.info.run_id): run for run in runs}


def _record(run: Any) -> ChangeRecord | None:
    """Return the record that a run holds; None if nothing of ours can have written it."""
    try:
        return ChangeRecord.from_tags(run.data.tags)
    except (ValueError, TypeError, LookupError):
        return None
