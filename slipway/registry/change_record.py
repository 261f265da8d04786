"""What a change of aliases sets, and the record that a run keeps of it. Pure.

Everybody who may write to the experiment may write a record. So ``ChangeRecord.fault`` tells those
that are written here from others.
"""

import json
import socket
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Literal, Self

from pydantic import Field

from slipway.tracking import format_1, tags
from slipway.tracking.lease import Lease
from slipway.tracking.tag_values import answer_in
from slipway.values import AliasChange, AliasChangeKind, AuditInfo, Value, registered_names

#: By registered model and alias, the version that it is set to; None removes it.
Aliases = dict[str, dict[str, int | None]]
#: By registered model, version and tag, its value; None removes it.
TagChanges = dict[str, dict[int, dict[str, str | None]]]
#: Experiment of the record: who may release but not promote, may write to the second alone.
RecordPlace = Literal["promotions", "candidates"]

#: Where changes are recorded, below the model's name, and which aliases a record there may change.
PLACES: Mapping[RecordPlace, set[str]] = {
    "promotions": {"champion", "previous", "candidate"},
    "candidates": {"candidate"},
}
#: The place of the records that say who was champion.
OF_CHAMPIONS: tuple[RecordPlace, ...] = ("promotions",)
#: Kinds of change that a release needs which promotes nothing: all that ``candidates`` may hold.
_OF_A_RELEASE = {"promotion", "rejection"}

_TAGS = {tags.APPROVAL, tags.DECIDED, tags.PENDING_EVENT, tags.QUARANTINED, tags.STATUS}


class AliasTransaction(Value):
    """What changes, and why.

    Attributes:
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
        lease: Of the process that carries it out; its ``start`` is when the change began.
    """

    transaction: AliasTransaction
    undo: AliasTransaction
    before: int | None
    after: int | None
    lease: Lease

    @property
    def at(self) -> datetime:
        """When it began."""
        return self.lease.start

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
            tags.HOST: socket.gethostname(),
            **self.lease.to_tags(),
            tags.TRANSACTION: transaction.model_dump_json(),
            tags.UNDO: self._believable_undo().model_dump_json(),
            **transaction.run_tags,
        }

    def _believable_undo(self) -> AliasTransaction:
        """Return the undo for those who only read it.

        An approval that a person wrote and nobody carried out is ``pending`` there: an undo that
        approves would let everybody approve who may write a record.
        """
        changes = self.transaction.tag_changes
        tag_changes = {
            name: {
                number: _unapproved(before, changes[name][number])
                for number, before in versions.items()
            }
            for name, versions in self.undo.tag_changes.items()
        }
        return self.undo.model_copy(update={"tag_changes": tag_changes})

    @classmethod
    def from_tags(cls, found: Mapping[str, str]) -> Self:
        """Return the record that the tags of a run hold."""
        read = format_1.upgrade(found)
        return cls(
            transaction=AliasTransaction.model_validate_json(read[tags.TRANSACTION]),
            undo=AliasTransaction.model_validate_json(read[tags.UNDO]),
            before=json.loads(read[tags.BEFORE]),
            after=json.loads(read[tags.AFTER]),
            lease=Lease.from_tags(read),
        )

    def fault(self, model: str, place: RecordPlace = "promotions") -> str | None:
        """Return what in it is not as a transaction of ``model`` writes it; None if nothing is.

        Args:
            model: Name of the entry.
            place: Where it was found.
        """
        transaction, undo = self.transaction, self.undo
        names = registered_names(model)
        if (transaction.model, undo.model) != (model, model):
            return "it is about another model"
        if _places(transaction) != _places(undo):
            return "its undo changes something else than its transaction"
        for name, version, key in _places(transaction):
            if name not in names or key not in (PLACES[place] if version is None else _TAGS):
                return f"it changes {key} of {name}"
        if not belongs(transaction, place):
            return f"no {transaction.kind} is recorded in {model}/{place}"
        for name, versions in undo.tag_changes.items():
            for version, before in versions.items():
                if _approves(transaction.tag_changes[name].get(version, {}), before):
                    return f"its undo approves version {version} of {name}"
        return None

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


def belongs(transaction: AliasTransaction, place: RecordPlace) -> bool:
    """Return whether a transaction may be recorded there."""
    aliases = {alias for changed in transaction.aliases.values() for alias in changed}
    known = transaction.kind in _OF_A_RELEASE or place == "promotions"
    return known and aliases <= PLACES[place]


def waits_for(transaction: AliasTransaction) -> Collection[RecordPlace]:
    """Return where no other change may be open meanwhile.

    What takes a champion out changes nothing of a candidate, so no releaser can hold it up.
    """
    return OF_CHAMPIONS if transaction.kind in {"rollback", "restored"} else PLACES


def versions_in(transaction: AliasTransaction) -> set[tuple[str, int | None]]:
    """Return the versions that a transaction names or tags, by registered model; None for none."""
    aliases = {
        (name, each) for name, found in transaction.aliases.items() for each in found.values()
    }
    tagged = {(name, each) for name, found in transaction.tag_changes.items() for each in found}
    return aliases | tagged


def _places(transaction: AliasTransaction) -> set[tuple[str, int | None, str]]:
    """Return what a transaction changes: model, version (None for an alias), alias or tag."""
    aliases = {(name, None, each) for name, found in transaction.aliases.items() for each in found}
    changed = {
        (name, version, each)
        for name, versions in transaction.tag_changes.items()
        for version, changes in versions.items()
        for each in changes
    }
    return aliases | changed


def _unapproved(
    before: Mapping[str, str | None], changed: Mapping[str, str | None]
) -> dict[str, str | None]:
    is_lost = _gives_approval(changed, before)
    return {**before, tags.APPROVAL: "pending"} if is_lost else {**before}


def _approves(changed: Mapping[str, str | None], before: Mapping[str, str | None]) -> bool:
    """Return whether an undo would release or approve what was not before."""
    released = before.get(tags.STATUS) == "released"
    return _gives_approval(changed, before) or (released and changed.get(tags.STATUS) != "released")


def _gives_approval(changed: Mapping[str, str | None], before: Mapping[str, str | None]) -> bool:
    return answer_in(before) == "approved" != answer_in(changed)
