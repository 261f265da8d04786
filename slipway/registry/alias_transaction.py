"""Aliases of both models change together or not at all, and a run records who changed them.

The registry has no compare-and-set and no transaction. So one process at a time records what it is
about to do and what was there before, does it, reads it back, and closes its record. A failure in
between is rolled back at once; what a crashed process left behind, by the next one.
"""

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from pydantic import Field

from slipway.errors import RegistryConflict
from slipway.registry.lookup import Lookup
from slipway.tracking import format_1, tags
from slipway.tracking.location import experiment_id
from slipway.values import AliasChange, AliasChangeKind, AuditInfo, Value

#: By registered model and alias, the version that it is set to; None removes it.
Aliases = dict[str, dict[str, int | None]]
#: By registered model, version and tag, its value; None removes it.
TagChanges = dict[str, dict[int, dict[str, str | None]]]

#: A change takes seconds; MLflow's client may ask a slow server again for minutes.
_LONGEST_CHANGE = timedelta(hours=1)


class AliasTransaction(Value):
    """What changes, and why.

    Attributes:
        model: Name of the entry.
        version: The version that it is about.
        aliases: Set first, in this order.
        tag_changes: Tags of versions, set then.
        run_tags: Further tags of the run that records it.
    """

    model: str
    kind: AliasChangeKind
    audit: AuditInfo
    version: int | None
    aliases: Aliases
    tag_changes: TagChanges = Field(default_factory=dict)
    run_tags: dict[str, str] = Field(default_factory=dict)


class ChangeRecord(Value):
    """What the run of an alias change says of it.

    Attributes:
        undo: The transaction that leads back.
        before: Champion before it; None for none.
        after: Champion after it; None for none.
        at: When it was begun.
        host: The machine on which it was begun.
    """

    transaction: AliasTransaction
    undo: AliasTransaction
    before: int | None
    after: int | None
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    host: str = Field(default_factory=lambda: socket.gethostname())  # noqa: PLW0108 - read late

    def to_tags(self) -> dict[str, str]:
        """Return the tags of the run; some of them only for people who look at it in MLflow."""
        transaction = self.transaction
        return {
            tags.FORMAT: tags.CURRENT_FORMAT,
            tags.KIND: transaction.kind,
            tags.ACTOR: transaction.audit.actor,
            tags.REASON: transaction.audit.reason,
            tags.VERSION: json.dumps(transaction.version),
            tags.BEFORE: json.dumps(self.before),
            tags.AFTER: json.dumps(self.after),
            tags.AT: self.at.isoformat(),
            tags.HOST: self.host,
            tags.TRANSACTION: transaction.model_dump_json(),
            tags.UNDO: self.undo.model_dump_json(),
            **transaction.run_tags,
        }

    @classmethod
    def from_tags(cls, found: Mapping[str, str]) -> Self:
        """Return the record that the tags of a run hold."""
        read = format_1.upgrade(found)
        return cls(
            transaction=AliasTransaction.model_validate_json(read[tags.TRANSACTION]),
            undo=AliasTransaction.model_validate_json(read[tags.UNDO]),
            before=json.loads(read[tags.BEFORE]),
            after=json.loads(read[tags.AFTER]),
            at=datetime.fromisoformat(read[tags.AT]),
            host=read[tags.HOST],
        )

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody works on it: we hold its machine's lock, or it is old."""
        return self.host == socket.gethostname() or datetime.now(UTC) - self.at > _LONGEST_CHANGE

    def change(self, run_id: str) -> AliasChange:
        """Return the change that the run ``run_id`` records."""
        return AliasChange(
            run_id=run_id,
            kind=self.transaction.kind,
            at=self.at,
            audit=self.transaction.audit,
            before=self.before,
            after=self.after,
            version=self.transaction.version,
        )


class AliasTransactions(Lookup):
    """Changes aliases and tags as a whole."""

    def changes(self, model: str) -> tuple[AliasChange, ...]:
        """Return every recorded change of a model's aliases, oldest first."""
        records = self._records(model, "FINISHED").items()
        changes = (record.change(run_id) for run_id, record in records)
        return tuple(sorted(changes, key=lambda change: change.at))

    def recover(self, model: str) -> None:
        """Roll back a change that a crashed process left behind."""
        with self._locked(model):
            self._recover(model)

    @contextmanager
    def consistent_read(self, model: str) -> Iterator[None]:
        """Let the body read what is there before or after a change, and never half of one.

        Raises:
            RegistryConflict: If another machine is changing the aliases.
        """
        with self._locked(model):
            self._recover(model)
            if self._records(model, "RUNNING"):
                raise RegistryConflict(model, "another machine moves its aliases")
            yield

    @contextmanager
    def _recorded(self, transaction: AliasTransaction) -> Iterator[str]:
        """Carry out ``transaction``; give the id of its run to the body, which belongs to it.

        Raises:
            RegistryConflict: If anything fails, the body included; all is as it was.
        """
        model = transaction.model
        before = self.champion(model)
        record = ChangeRecord(
            transaction=transaction,
            undo=self._undo_of(transaction),
            before=before,
            after=transaction.aliases.get(model, {}).get("champion", before),
        )
        run_id = self._open(record)
        try:
            self._set(transaction.aliases, transaction.tag_changes)
            self._read_back(transaction)
            yield run_id
        except Exception as error:
            self._restore(record)
            self.client.set_terminated(run_id, "FAILED")
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise RegistryConflict(model, f"the change was rolled back: {reason}") from error
        self.client.set_terminated(run_id, "FINISHED")

    def _recover(self, model: str) -> None:
        for run_id, record in self._records(model, "RUNNING").items():
            if record.is_abandoned:
                self._restore(record)
                self.client.set_terminated(run_id, "KILLED")

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
        """Undo what still is as the transaction set it; later manual changes are kept."""
        for name, targets in record.transaction.aliases.items():
            found, before = self.aliases(name), record.undo.aliases[name]
            ours = [alias for alias, version in targets.items() if found.get(alias) == version]
            self._set({name: {alias: before[alias] for alias in ours}}, {})
        self._set({}, record.undo.tag_changes)

    def _set(self, aliases: Aliases, tag_changes: TagChanges) -> None:
        for name, targets in aliases.items():
            for alias, version in targets.items():
                if version is None:
                    self.client.delete_registered_model_alias(name, alias)
                else:
                    self.client.set_registered_model_alias(name, alias, str(version))
        for name, versions in tag_changes.items():
            for number, changed in versions.items():
                for tag, value in changed.items():
                    self._set_tag(name, number, tag, value)

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

    def _open(self, record: ChangeRecord) -> str:
        """Write a record into a run that is running, and return the run's id."""
        transaction = record.transaction
        run = self.client.create_run(
            experiment_id(f"{transaction.model}/promotions", self.location),
            run_name=f"{transaction.kind} v{transaction.version}",
            tags=record.to_tags(),
        )
        return str(run.info.run_id)

    def _records(self, model: str, status: str) -> dict[str, ChangeRecord]:
        """Return the records of runs with this status by the runs' ids, newest first."""
        experiment = self.client.get_experiment_by_name(f"{model}/promotions")
        if experiment is None:
            return {}
        filters = f"attributes.status = '{status}' AND tags.`{tags.AT}` != ''"
        found: list[Any] = []
        token: str | None = ""
        while token is not None:
            page = self.client.search_runs([experiment.experiment_id], filters, page_token=token)
            found += page
            token = page.token
        return {run.info.run_id: ChangeRecord.from_tags(run.data.tags) for run in found}
