"""The previous champion is restored, and the one that failed is quarantined."""

from slipway.errors import MoveRefused
from slipway.registry.alias_transaction import AliasTransactions
from slipway.registry.change_record import Aliases, AliasTransaction, TagChanges
from slipway.registry.transitions import Command, how_to_lift, reference_tags, tags_of
from slipway.tracking.tags import KEY, PENDING_EVENT, QUARANTINED
from slipway.values import AliasChange, AuditInfo, Release, registered_name, registered_names


class Rollbacks(AliasTransactions):
    """Takes champions out of service."""

    def roll_back(
        self, model: str, to: int | None, audit: AuditInfo, failed: int | None = None
    ) -> AliasChange:
        """Make ``previous``, or the version ``to``, champion of both models, or of neither.

        The present champion becomes ``previous`` and is quarantined: nothing promotes a version
        with its key again until a person lifts the quarantine. Where somebody deleted the champion,
        or took its alias away, nothing is quarantined.

        Args:
            model: Name of the entry.
            to: Version to go back to.
            audit: By whom, and why.
            failed: The champion that is meant; whichever it is if None. If that one was rolled back
                already, as is asked now, that earlier change is returned.

        Raises:
            MoveRefused: If there is nothing to go back from or to, if that version may not serve,
                if its bytes are not what was released, or if ``failed`` is not the champion.
            RegistryConflict: If the aliases could not be changed; they are as they were.
        """
        with self._locked(model):
            self._recover(model)
            champion = self.champion(model)
            if failed not in {None, champion}:
                return self._earlier(model, failed, to, champion)
            release = self._target(model, champion, to)
            return self._replace(model, champion, release, audit, f"{audit.actor}: {audit.reason}")

    def reject_champion(
        self, model: str, failed: int, serving: int, audit: AuditInfo
    ) -> AliasChange | None:
        """Quarantine ``failed``, and let the alias return to the version that serves.

        Where that one may not be champion either, the model has none afterwards; what serves is
        left alone. The first reason for a quarantine is kept.

        Returns:
            The change; None if another version is champion by now, which is left as it is.

        Raises:
            RegistryConflict: If the aliases could not be changed; they are as they were.
        """
        fault, why = f"{audit.actor}: {audit.reason}", f"version {failed} must not serve"
        with self._locked(model):
            self._recover(model)
            if self.champion(model) != failed:
                self._reject_other(model, failed, audit)
                return None
            release, why = None, f"{why}: {audit.reason}"
            try:
                release = self._target(model, failed, serving)
            except MoveRefused as error:
                why = f"{why}; no champion is left, since {error.reason}"
            recorded = audit.model_copy(update={"reason": why[:1000]})
            return self._replace(model, failed, release, recorded, fault)

    def _reject_other(self, model: str, failed: int, audit: AuditInfo) -> None:
        """Quarantine a version that is not champion any more, unless it is gone or out already."""
        found = self.state(model, failed)
        if found is None or found.quarantined is not None:
            return
        transaction = AliasTransaction(
            model=model,
            kind="rejection",
            audit=audit,
            version=failed,
            aliases={},
            tag_changes=self._quarantine(model, failed, f"{audit.actor}: {audit.reason}"),
        )
        with self._recorded(transaction, {failed: "quarantine"}):
            pass

    def _earlier(
        self, model: str, failed: int | None, to: int | None, champion: int | None
    ) -> AliasChange:
        """Return the change that took ``failed`` out already, if it did what is asked now."""
        asked = ("rollback", failed, champion)
        last = next((each for each in self.newest_changes(model) if each.moved), None)
        if last and (last.kind, last.before, last.after) == asked and to in {None, champion}:
            return last
        present = f"version {champion} is" if champion else "there is none"
        reason = f"version {failed} is not the champion, {present}; nothing was moved"
        raise MoveRefused(model, reason, f"slipway history {model} says since when")

    def require_successor(self, model: str, failed: int | None, to: int | None) -> int:
        """Return the version that takes the place of ``failed``.

        Raises:
            MoveRefused: If there is none.
        """
        version = to if to is not None else self._previous(model)
        if version is None and failed is None:
            advice = f"release it first: slipway release {model}"
            reason = "there is neither a champion to roll back from nor a previous version"
            raise MoveRefused(model, reason, advice)
        if version is None:
            advice = "name a version with --to; slipway history lists those that served"
            raise MoveRefused(model, "there is no previous version to roll back to", advice)
        if version == failed:
            advice = "name another version with --to"
            raise MoveRefused(model, f"version {version} is the champion already", advice)
        return version

    def _previous(self, model: str) -> int | None:
        """Return the previous champion; where people have roles, only one that is recorded."""
        version = self.aliases(model).get("previous")
        if not self.has_roles or any(each.after == version for each in self.newest_changes(model)):
            return version
        return None

    def _target(self, model: str, failed: int | None, to: int | None) -> Release:
        """Return the release that takes the place of ``failed``.

        Raises:
            MoveRefused: If there is none, or if it may not serve.
        """
        release = self._servable(model, self.require_successor(model, failed, to))
        self._require_intact(release)
        return release

    def _servable(self, model: str, version: int) -> Release:
        state = self.state(model, version)
        if state is None:
            advice = f"see slipway history {model} for those that served"
            raise MoveRefused(model, f"there is no version {version}", advice)
        reason = state.obstacle
        if reason or state.release is None:
            other = how_to_lift(model) if state.quarantined else "release it again"
            advice = f"name another version with --to, or {other}"
            raise MoveRefused(model, f"version {version} {reason or 'is not released'}", advice)
        wrappers = state.release.versions.wrappers
        self._require_there(model, ((each.name, each.version) for each in wrappers))
        return state.release

    def _replace(
        self, model: str, failed: int | None, release: Release | None, audit: AuditInfo, fault: str
    ) -> AliasChange:
        """Set the aliases to ``release``, or remove them; quarantine ``failed`` for ``fault``."""
        commands: dict[int, Command] = {failed: "quarantine"} if failed is not None else {}
        tag_changes = self._quarantine(model, failed, fault) if failed is not None else {}
        if release:
            serving = release.versions.onnx
            commands[serving.version] = "serve"
            tag_changes.setdefault(model, {})[serving.version] = {PENDING_EVENT: "pending"}
        transaction = AliasTransaction(
            model=model,
            kind="rollback",
            audit=audit,
            version=release.versions.onnx.version if release else failed,
            aliases=self._aliases_back_to(model, release),
            tag_changes=tag_changes,
            run_tags={KEY: release.versions.key} if release else {},
        )
        with self._recorded(transaction, commands) as run_id:
            pass
        return self._change_of(run_id)

    def _aliases_back_to(self, model: str, release: Release | None) -> Aliases:
        if release is None:
            return {name: {"champion": None} for name in registered_names(model)}
        return {
            wrapper.name: self._previous_after(release.versions, wrapper)
            | {"champion": wrapper.version}
            for wrapper in release.versions.wrappers
        }

    def _quarantine(self, model: str, failed: int, fault: str) -> TagChanges:
        """Return the tags of the failed version of both models, which its key pairs."""
        tags = self.tags(model, failed)
        marks = tags_of("quarantine", fault, tags.get(QUARANTINED))
        tag_changes: TagChanges = {model: {failed: marks}}
        if key := tags.get(KEY):
            name = registered_name(model, "transformers")
            pairs = self._versions(name, key)
            tag_changes[name] = {int(each.version): reference_tags(marks) for each in pairs}
        return tag_changes
