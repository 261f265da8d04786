"""Aliases of both models move together or not at all, and the record says who moved them.

The registry has no compare-and-set and no transaction. So one mover at a time writes down what it
is about to do and what was there before, does it, reads it back, and closes its entry. What fails
in between is undone by the mover; what its process did not live to undo, by the next one.
"""

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import Field

from slipway.errors import RegistryConflict
from slipway.registry.lookup import Lookup
from slipway.tracking.location import experiment_id
from slipway.values import AliasChange, AliasChangeKind, AuditInfo, Value

#: By registered model and alias, the version that it is set to; None removes it.
Aliases = dict[str, dict[str, int | None]]
#: By registered model, version and tag, its value; None removes it.
TagChanges = dict[str, dict[int, dict[str, str | None]]]

#: A move takes seconds; MLflow's client may ask a slow server again for minutes.
_LONGEST_MOVE = timedelta(hours=1)


class AliasTransaction(Value):
    """What moves, and why.

    Attributes:
        model: Name of the entry.
        kind: Of which kind the move is.
        cause: By whom or what, and why.
        version: The version that it is about.
        aliases: What is set first.
        marks: Tags that are set then.
        tags: More of the record's run.
    """

    model: str
    kind: AliasChangeKind
    cause: AuditInfo
    version: int | None
    aliases: Aliases
    marks: TagChanges = Field(default_factory=dict)
    tags: dict[str, str] = Field(default_factory=dict)


class AliasTransactions(Lookup):
    """Moves aliases and marks as a whole."""

    def moves(self, model: str) -> tuple[AliasChange, ...]:
        """Return what is recorded of a model: every move that was carried out, oldest first."""
        moves = (_move(run) for run in self._records(model, "FINISHED"))
        return tuple(sorted(moves, key=lambda move: move.at))

    def settle(self, model: str) -> None:
        """Undo what a mover that did not live to its end had begun."""
        with self._alone(model):
            self._settle(model)

    @contextmanager
    def at_rest(self, model: str) -> Iterator[None]:
        """Let the body read what is there before or after a move, and never half of one.

        Raises:
            RegistryConflict: If a move is under way on another machine.
        """
        with self._alone(model):
            self._settle(model)
            if self._records(model, "RUNNING"):
                raise RegistryConflict(model, "another machine moves its aliases")
            yield

    @contextmanager
    def _moving(self, transfer: AliasTransaction) -> Iterator[str]:
        """Carry out ``transfer``; give the id of its record to the body, which belongs to it.

        Raises:
            RegistryConflict: If anything fails, the body included; all is as it was.
        """
        undo = self._undo_of(transfer)
        before = self.champion(transfer.model)
        after = transfer.aliases.get(transfer.model, {}).get("champion", before)
        run_id = self._open_record(transfer, undo, before, after)
        try:
            self._set(transfer.aliases, transfer.marks)
            self._read_back(transfer)
            yield run_id
        except Exception as error:
            self._undo(transfer, undo)
            self.client.set_terminated(run_id, "FAILED")
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise RegistryConflict(transfer.model, f"the move was undone: {reason}") from error
        self.client.set_terminated(run_id, "FINISHED")

    def _settle(self, model: str) -> None:
        for run in self._records(model, "RUNNING"):
            if _is_abandoned(run.data.tags):
                begun, undo = (
                    AliasTransaction.model_validate_json(run.data.tags[f"slipway.{name}"])
                    for name in ("transfer", "undo")
                )
                self._undo(begun, undo)
                self.client.set_terminated(run.info.run_id, "KILLED")

    def _undo_of(self, transfer: AliasTransaction) -> AliasTransaction:
        """Return the transfer that leads back."""
        aliases: Aliases = {}
        for name, targets in transfer.aliases.items():
            before = self.aliases(name)
            aliases[name] = {alias: before.get(alias) for alias in targets}
        marks: TagChanges = {}
        for name, versions in transfer.marks.items():
            marks[name] = {}
            for version, tags in versions.items():
                seen = self.tags(name, version)
                marks[name][version] = {tag: seen.get(tag) for tag in tags}
        return transfer.model_copy(update={"aliases": aliases, "marks": marks})

    def _undo(self, transfer: AliasTransaction, undo: AliasTransaction) -> None:
        """Put back what still is as ``transfer`` set it; a hand that came later stays."""
        for name, targets in transfer.aliases.items():
            seen = self.aliases(name)
            ours = {alias for alias, version in targets.items() if seen.get(alias) == version}
            back = {alias: undo.aliases[name][alias] for alias in targets if alias in ours}
            self._set({name: back}, {})
        self._set({}, undo.marks)

    def _set(self, aliases: Aliases, marks: TagChanges) -> None:
        for name, targets in aliases.items():
            for alias, version in targets.items():
                if version is None:
                    self.client.delete_registered_model_alias(name, alias)
                else:
                    self.client.set_registered_model_alias(name, alias, str(version))
        for name, versions in marks.items():
            for number, tags in versions.items():
                for tag, value in tags.items():
                    self._mark(name, number, tag, value)

    def _mark(self, name: str, version: int, tag: str, value: str | None) -> None:
        if value is not None:
            self.client.set_model_version_tag(name, str(version), tag, value)
        elif tag in self.tags(name, version):
            self.client.delete_model_version_tag(name, str(version), tag)

    def _read_back(self, transfer: AliasTransaction) -> None:
        for name, targets in transfer.aliases.items():
            seen = self.aliases(name)
            for alias, version in targets.items():
                if seen.get(alias) != version:
                    raise LookupError(f"{name}@{alias} is {seen.get(alias)}, not {version}")

    def _open_record(
        self,
        transfer: AliasTransaction,
        undo: AliasTransaction,
        before: int | None,
        after: int | None,
    ) -> str:
        experiment = experiment_id(f"{transfer.model}/promotions", self.place)
        run = self.client.create_run(
            experiment,
            run_name=f"{transfer.kind} v{transfer.version}",
            tags={
                "slipway.kind": transfer.kind,
                "slipway.by": transfer.cause.actor,
                "slipway.reason": transfer.cause.reason,
                "slipway.version": json.dumps(transfer.version),
                "slipway.from": json.dumps(before),
                "slipway.to": json.dumps(after),
                "slipway.at": datetime.now(UTC).isoformat(),
                "slipway.host": socket.gethostname(),
                "slipway.transfer": transfer.model_dump_json(),
                "slipway.undo": undo.model_dump_json(),
                **transfer.tags,
            },
        )
        return str(run.info.run_id)

    def _records(self, model: str, status: str) -> list[Any]:
        """Return the record's runs with this status, newest first."""
        experiment = self.client.get_experiment_by_name(f"{model}/promotions")
        if experiment is None:
            return []
        filters = f"attributes.status = '{status}' AND tags.`slipway.at` != ''"
        found: list[Any] = []
        token: str | None = ""
        while token is not None:
            page = self.client.search_runs([experiment.experiment_id], filters, page_token=token)
            found += page
            token = page.token
        return found


def _is_abandoned(tags: Mapping[str, str]) -> bool:
    """Tell whether nobody works on an open entry: its machine's lock is ours, or it is old."""
    age = datetime.now(UTC) - datetime.fromisoformat(tags["slipway.at"])
    return tags["slipway.host"] == socket.gethostname() or age > _LONGEST_MOVE


def _move(run: Any) -> AliasChange:
    tags = {tag.removeprefix("slipway."): value for tag, value in run.data.tags.items()}
    return AliasChange(
        run_id=run.info.run_id,
        kind=tags["kind"],
        at=tags["at"],
        cause=AuditInfo(actor=tags["by"], reason=tags["reason"]),
        before=json.loads(tags["from"]),
        after=json.loads(tags["to"]),
        version=json.loads(tags["version"]),
    )
