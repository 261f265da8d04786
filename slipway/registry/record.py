"""What the registry remembers: who was champion when, and which events were not sent yet."""

from datetime import datetime

from slipway.registry import history
from slipway.registry.alias_transaction import AliasTransaction, AliasTransactions
from slipway.tracking.tags import PENDING_EVENT
from slipway.values import AliasChange, ChampionPeriod


class Records(AliasTransactions):
    """Reads the record against the aliases as they are."""

    def history(self, model: str) -> tuple[ChampionPeriod, ...]:
        """Return every version that was champion, oldest first, the one that serves now last."""
        return history.champion_periods(self.moves(model), self.champion(model))

    def champion_at(self, model: str, at: datetime) -> int | None:
        """Return the version that was champion at a moment, as far as it was recorded."""
        return history.champion_at(self.moves(model), self.champion(model), at)

    def note_hand_move(self, model: str) -> AliasChange | None:
        """Record a champion that somebody moved by hand; None if record and alias agree."""
        with self._alone(model):
            self._settle(model)
            moves, champion = self.moves(model), self.champion(model)
            held = moves[-1].after if moves else None
            if held == champion:
                return None
            nothing = AliasTransaction(
                model=model, kind="by-hand", cause=history.BY_HAND, version=champion, aliases={}
            )
            run_id = self._open_record(nothing, nothing, held, champion)
            self.client.set_terminated(run_id, "FINISHED")
        return self.moves(model)[-1]

    def unannounced(self, model: str) -> tuple[AliasChange, ...]:
        """Return the moves whose event was not sent yet, oldest first."""
        filters = f"name = '{model}' AND tags.`{PENDING_EVENT}` = 'pending'"
        versions = {int(each.version) for each in self.client.search_model_versions(filters)}
        last = {move.after: move for move in self.moves(model) if move.after != move.before}
        return tuple(move for version, move in last.items() if version in versions)

    def announced(self, model: str, version: int) -> None:
        """Note that the event of the move to ``version`` was sent."""
        if PENDING_EVENT in self.tags(model, version):
            self.client.delete_model_version_tag(model, str(version), PENDING_EVENT)
