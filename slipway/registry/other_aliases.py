"""The aliases beside the champion's: one that a hand has moved is judged by the signed record."""

from collections.abc import Collection, Iterator
from datetime import datetime
from heapq import merge
from operator import itemgetter

from slipway.registry.alias_transaction import AliasTransactions
from slipway.registry.change_record import (
    PLACES,
    Aliases,
    AliasTransaction,
    RecordPlace,
    belongs,
)
from slipway.values import AliasChange, AuditInfo, Value, registered_names


class FaultyAlias(Value):
    """An alias that somebody moved by hand to a version which may not have it.

    Attributes:
        name: Of the registered model, either wrapper's.
        recorded: Version that the last recorded change set it to; None if it removed it, or if
            there was none.
        reason: Why that version may not have it.
    """

    name: str
    alias: str
    version: int
    recorded: int | None
    reason: str

    @property
    def in_words(self) -> str:
        """A sentence for people."""
        what = f"version {self.version} was made {self.alias} of {self.name} by hand"
        return f"{what}, and {self.reason}"


class OtherAliases(AliasTransactions):
    """Compares ``previous``, ``candidate`` and the reference's aliases with what was recorded."""

    def faulty_aliases(self, model: str) -> tuple[FaultyAlias, ...]:
        """Return the aliases of both models, but the champion's, that a hand may not have moved.

        With a public key, the signed record decides, as it does about a champion. An alias that is
        where the last recorded change left it is not judged again.

        Args:
            model: The serving model, whose champion ``manual_fault`` is about.
        """
        if self.copies.public_key is None or self._open_records(model, PLACES):
            return ()
        kinds = registered_names(model)
        now = {
            (name, alias): version
            for name in kinds
            for alias, version in self.aliases(name).items()
            if alias in PLACES["promotions"] and (name, alias) != (model, "champion")
        }
        recorded = self._recorded_aliases(model, now.keys())
        faults = {
            place: self._fault_of(place[0], version, kinds[place[0]])
            for place, version in now.items()
            if version != recorded.get(place)
        }
        return tuple(
            FaultyAlias(
                name=place[0],
                alias=place[1],
                version=now[place],
                recorded=recorded.get(place),
                reason=reason,
            )
            for place, reason in faults.items()
            if reason
        )

    def restore_aliases(self, model: str) -> AliasChange | None:
        """Return every faulty alias to where the last recorded change left it; None without any.

        One whose version was deleted since is removed.
        """
        with self._locked(model):
            self._recover(model)
            faulty = self.faulty_aliases(model)
            if not faulty:
                return None
            aliases: Aliases = {}
            for each in faulty:
                target = self._if_there(each.name, each.recorded)
                aliases.setdefault(each.name, {})[each.alias] = target
            reason = "; ".join(each.in_words for each in faulty)
            transaction = AliasTransaction(
                model=model,
                kind="restored",
                audit=AuditInfo(actor="reconcile", reason=reason[:1000]),
                version=faulty[0].version,
                aliases=aliases,
            )
            with self._recorded(transaction, {}) as run_id:
                pass
            return self._change_of(run_id)

    def _recorded_aliases(
        self, model: str, wanted: Collection[tuple[str, str]]
    ) -> dict[tuple[str, str], int | None]:
        """Return what the last recorded change of each alias set, by registered model and alias.

        Args:
            model: The serving model.
            wanted: Which to look for; changes are read until all are found.
        """
        found: dict[tuple[str, str], int | None] = {}
        by_place = (self._set_aliases(model, place) for place in PLACES)
        for _, aliases in merge(*by_place, key=itemgetter(0), reverse=True):
            for name, targets in aliases.items():
                for alias, version in targets.items():
                    found.setdefault((name, alias), version)
            if found.keys() >= set(wanted):
                break
        return found

    def _set_aliases(self, model: str, place: RecordPlace) -> Iterator[tuple[datetime, Aliases]]:
        """Yield which aliases each change that is recorded in one place set, the newest first."""
        for _, record in self._newest_records(model, place):
            if belongs(record.transaction, place):
                yield record.at, record.transaction.aliases
