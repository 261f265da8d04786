"""The way back: the champion of before serves again, and what failed is kept from coming back."""

from slipway.errors import MoveRefused
from slipway.registry.contents import require_intact
from slipway.registry.names import ANNOUNCE, DETAILS, QUARANTINED, obstacle, to_lift
from slipway.registry.transfer import Aliases, Marks, Transfer, Transfers
from slipway.tracking import KEY
from slipway.values import Cause, Move, Release


class Rollbacks(Transfers):
    """Rolls back, and keeps the record of who was champion."""

    def roll_back(self, model: str, to: int | None, cause: Cause) -> Move:
        """Make ``previous``, or the version ``to``, champion of both models, or of neither.

        The champion of today becomes ``previous`` and is quarantined: nothing promotes a version
        with its key again until a person lifts that.

        Raises:
            MoveRefused: If there is nothing to go back from or to, if that version may not serve,
                or if its bytes are not what was released.
            RegistryConflict: If the aliases could not be moved; they are as they were.
        """
        with self._alone(model):
            self._settle(model)
            failed = self._champion_of(model)
            release = self._target(model, failed, to)
            require_intact(self, release)
            transfer = Transfer(
                model=model,
                kind="rollback",
                cause=cause,
                version=release.candidate.onnx.version,
                aliases=self._downward(release),
                marks=self._quarantine(model, failed, cause, release),
                tags={KEY: release.candidate.key},
            )
            with self._moving(transfer) as run_id:
                pass
            return next(move for move in self.moves(model) if move.run_id == run_id)

    def _champion_of(self, model: str) -> int:
        champion = self.champion(model)
        if champion is None:
            advice = f"release it first: slipway release {model}"
            raise MoveRefused(model, "there is no champion to roll back from", advice)
        return champion

    def _target(self, model: str, failed: int, to: int | None) -> Release:
        version = to if to is not None else self.aliases(model).get("previous")
        if version is None:
            advice = "name a version with --to; slipway history lists those that served"
            raise MoveRefused(model, "there is no previous version to roll back to", advice)
        if version == failed:
            advice = "name another version with --to"
            raise MoveRefused(model, f"version {version} is the champion already", advice)
        tags = self._tags_if_any(model, version)
        if tags is None:
            advice = f"see slipway history {model} for those that served"
            raise MoveRefused(model, f"there is no version {version}", advice)
        if why := obstacle(tags):
            advice = "name another version with --to, or release it again"
            if QUARANTINED in tags:
                advice = f"name another version with --to, or {to_lift(model)}"
            raise MoveRefused(model, f"version {version} {why}", advice)
        return Release.model_validate_json(tags[DETAILS])

    def _downward(self, release: Release) -> Aliases:
        moves: Aliases = {}
        for wrapper in release.candidate.wrappers:
            champion = self.champion(wrapper.name)
            moves[wrapper.name] = {"champion": wrapper.version}
            if champion != wrapper.version:
                moves[wrapper.name]["previous"] = champion
        return moves

    def _quarantine(self, model: str, failed: int, cause: Cause, release: Release) -> Marks:
        """Mark the failed version of both models; its key pairs them."""
        reason = f"{cause.actor}: {cause.reason}"
        marks: Marks = {each.name: {} for each in release.candidate.wrappers}
        marks[model][failed] = {QUARANTINED: reason}
        if key := self.tags(model, failed).get(KEY):
            for name in marks:
                for version in self._versions(name, key):
                    marks[name][int(version.version)] = {QUARANTINED: reason}
        marks[model][release.candidate.onnx.version] = {ANNOUNCE: "pending"}
        return marks
