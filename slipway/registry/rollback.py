"""The way back: the champion of before serves again, and what failed is kept from coming back."""

from slipway.errors import MoveRefused
from slipway.registry.alias_transaction import (
    Aliases,
    AliasTransaction,
    AliasTransactions,
    TagChanges,
)
from slipway.registry.integrity import require_intact
from slipway.registry.names import obstacle, registered_name, to_lift
from slipway.tracking.tags import KEY, PENDING_EVENT, QUARANTINED, RELEASE
from slipway.values import AliasChange, AuditInfo, Release


class Rollbacks(AliasTransactions):
    """Rolls back, and keeps the record of who was champion."""

    def roll_back(
        self, model: str, to: int | None, cause: AuditInfo, failed: int | None = None
    ) -> AliasChange:
        """Make ``previous``, or the version ``to``, champion of both models, or of neither.

        The champion of today becomes ``previous`` and is quarantined: nothing promotes a version
        with its key again until a person lifts that.

        Args:
            model: Name of the entry.
            to: Version to go back to.
            cause: By whom, and why.
            failed: The champion that is meant; whichever it is if None. If that one was rolled back
                already, as is asked now, the move of then is returned.

        Raises:
            MoveRefused: If there is nothing to go back from or to, if that version may not serve,
                if its bytes are not what was released, or if ``failed`` is not the champion.
            RegistryConflict: If the aliases could not be moved; they are as they were.
        """
        with self._alone(model):
            self._settle(model)
            champion = self.champion(model)
            if failed not in {None, champion}:
                return self._earlier(model, failed, to, champion)
            release = self._target(model, champion, to)
            return self._go_back(model, champion, release, cause, f"{cause.actor}: {cause.reason}")

    def refuse(self, model: str, failed: int, serving: int, cause: AuditInfo) -> AliasChange | None:
        """Quarantine ``failed``, and let the alias return to the version that serves.

        Where that one may not be champion either, the model has none afterwards; what serves is
        left alone. A first reason for a quarantine stays.

        Returns:
            The move; None if another version is champion by now, which is left as it is.

        Raises:
            RegistryConflict: If the aliases could not be moved; they are as they were.
        """
        fault, why = f"{cause.actor}: {cause.reason}", f"version {failed} must not serve"
        with self._alone(model):
            self._settle(model)
            if self.champion(model) != failed:
                self._set({}, self._quarantine(model, failed, fault))
                return None
            release, why = None, f"{why}: {cause.reason}"
            try:
                release = self._target(model, failed, serving)
            except MoveRefused as error:
                why = f"{why}; no champion is left, since {error.reason}"
            record = cause.model_copy(update={"reason": why[:1000]})
            return self._go_back(model, failed, release, record, fault)

    def _earlier(
        self, model: str, failed: int | None, to: int | None, champion: int | None
    ) -> AliasChange:
        """Return the move that took ``failed`` out already, where nothing else is asked for."""
        asked = ("rollback", failed, champion)
        for last in [each for each in self.moves(model) if each.after != each.before][-1:]:
            if (last.kind, last.before, last.after) == asked and to in {None, champion}:
                return last
        there = f"version {champion} is" if champion else "there is none"
        reason = f"version {failed} is not the champion, {there}; nothing was moved"
        raise MoveRefused(model, reason, f"slipway history {model} says since when")

    def _target(self, model: str, failed: int | None, to: int | None) -> Release:
        """Return the release that takes the place of ``failed``.

        Raises:
            MoveRefused: If there is none, or if it may not serve.
        """
        if failed is None and to is None:
            advice = f"release it first: slipway release {model}"
            raise MoveRefused(model, "there is no champion to roll back from", advice)
        version = to if to is not None else self.aliases(model).get("previous")
        if version is None:
            advice = "name a version with --to; slipway history lists those that served"
            raise MoveRefused(model, "there is no previous version to roll back to", advice)
        if version == failed:
            advice = "name another version with --to"
            raise MoveRefused(model, f"version {version} is the champion already", advice)
        release = self._servable(model, version)
        require_intact(self, release)
        return release

    def _servable(self, model: str, version: int) -> Release:
        tags = self._tags_if_any(model, version)
        if tags is None:
            advice = f"see slipway history {model} for those that served"
            raise MoveRefused(model, f"there is no version {version}", advice)
        if why := obstacle(tags):
            advice = "name another version with --to, or release it again"
            if QUARANTINED in tags:
                advice = f"name another version with --to, or {to_lift(model)}"
            raise MoveRefused(model, f"version {version} {why}", advice)
        return Release.model_validate_json(tags[RELEASE])

    def _go_back(
        self, model: str, failed: int | None, release: Release | None, cause: AuditInfo, fault: str
    ) -> AliasChange:
        """Move the aliases to ``release``, or away; quarantine ``failed`` for ``fault``."""
        marks = self._quarantine(model, failed, fault) if failed is not None else {}
        if release:
            serving = release.versions.onnx
            marks.setdefault(model, {})[serving.version] = {PENDING_EVENT: "pending"}
        transfer = AliasTransaction(
            model=model,
            kind="rollback",
            cause=cause,
            version=release.versions.onnx.version if release else failed,
            aliases=self._downward(model, release),
            marks=marks,
            tags={KEY: release.versions.key} if release else {},
        )
        with self._moving(transfer) as run_id:
            pass
        return next(move for move in self.moves(model) if move.run_id == run_id)

    def _downward(self, model: str, release: Release | None) -> Aliases:
        if release is None:
            return {name: {"champion": None} for name in _names(model)}
        moves: Aliases = {}
        for wrapper in release.versions.wrappers:
            champion = self.champion(wrapper.name)
            moves[wrapper.name] = {"champion": wrapper.version}
            if champion not in {None, wrapper.version}:
                moves[wrapper.name]["previous"] = champion
        return moves

    def _quarantine(self, model: str, failed: int, fault: str) -> TagChanges:
        """Mark the failed version of both models; its key pairs them. A first reason stays."""
        tags = self.tags(model, failed)
        reason: dict[str, str | None] = {QUARANTINED: tags.get(QUARANTINED) or fault}
        marks: TagChanges = {model: {failed: reason}}
        if key := tags.get(KEY):
            for name in _names(model):
                versions = {int(each.version): reason for each in self._versions(name, key)}
                marks[name] = marks.get(name, {}) | versions
        return marks


def _names(model: str) -> tuple[str, str]:
    """Return the registered models of both wrappers."""
    return registered_name(model, "onnx"), registered_name(model, "transformers")
