"""A candidate that passed its gates becomes champion: at once, or when a person approves it."""

from collections.abc import Iterator
from datetime import UTC, datetime

from slipway.evaluation import source_order
from slipway.registry.alias_transaction import AliasTransactions
from slipway.registry.change_record import PLACES, AliasTransaction, TagChanges
from slipway.registry.lookup import state_of
from slipway.registry.registration import Registration
from slipway.registry.transitions import Command, reference_tags, tags_of
from slipway.system.failpoints import failpoint
from slipway.tracking.location import if_any
from slipway.tracking.tag_values import release_tags
from slipway.tracking.tags import KEY, NOTE, PENDING_EVENT, RELEASE_RUN
from slipway.values import (
    AuditInfo,
    LoggedWrapper,
    Promotion,
    PromotionTarget,
    RegisteredVersions,
    Rejected,
    Release,
    SourceCommit,
    Verdict,
)

#: What a promotion does to the state of a version, by how far it goes.
_COMMANDS: dict[PromotionTarget, Command] = {
    "approval": "ask",
    "champion": "release",
    "candidate": "release",
}


class Promotions(Registration, AliasTransactions):
    """Promotes candidates."""

    def promote(
        self,
        release: Release,
        target: PromotionTarget,
        description: str,
        audit: AuditInfo,
        *,
        overtakes: bool = False,
    ) -> Release:
        """Return ``release`` with the promotion that was made: both models' aliases, or neither.

        What another process has promoted meanwhile is returned as it is. A release whose source is
        older than the champion's, or than that of the candidate that waits, is returned as
        rejected, and nothing is changed. Whoever may release but not promote asks for approval
        instead of promoting.

        Args:
            release: What may serve, and what is recorded on its versions.
            target: ``champion``; ``candidate`` to stop there; ``approval`` to wait there.
            description: Markdown for the version's page.
            audit: By whom or what it was released, and why it may serve.
            overtakes: Whether a person wants it although its source is older.

        Raises:
            RegistryConflict: If the aliases could not be changed; they are as they were.
            MoveRefused: If its version is quarantined, or another run withdrew it.
        """
        versions = release.versions
        if target == "champion" and not self.may_promote:
            target = "approval"
        with self._locked(versions.model):
            self._recover(versions.model)
            self._require_alone(versions.model, PLACES)
            found = self.state(versions.onnx.name, versions.onnx.version)
            if found and found.release and found.released and found.quarantined is None:
                return self._as_found(found.release, found)
            if target != "candidate" and not overtakes:
                verdict = source_order.judge(
                    release.verdict, release.source_commit, *self._ahead(versions.model)
                )
                if isinstance(verdict, Rejected):
                    return release.model_copy(update={"verdict": verdict})
            waiting = release.model_copy(update={"waiting": target == "approval"})
            return self._promote_to(target, _COMMANDS[target], waiting, audit, description)

    def withdraw(self, versions: RegisteredVersions, verdict: Verdict) -> None:
        """Delete the versions of a candidate that may not serve.

        Its logged models and its run stay, with the verdict, so that people can look into it.

        Raises:
            MoveRefused: If it was released, or an alias names it; nothing is deleted.
            RegistryConflict: If another machine is changing the aliases.
        """
        model, version = versions.model, versions.onnx.version
        with self._locked(model):
            self._recover(model)
            found = [each for each in versions.wrappers if self._may_leave(model, each)]
            transaction = AliasTransaction(
                model=model,
                kind="rejection",
                audit=AuditInfo(actor="gates", reason="; ".join(verdict.reasons)[:1000]),
                version=version,
                aliases={},
                tag_changes={},
                run_tags={KEY: versions.key, RELEASE_RUN: versions.run_id},
            )
            if not found:
                return
            with self._recorded(transaction, {version: "withdraw"}):
                if run := self._active_run(versions.run_id):
                    self._set_outcome(run, verdict)
                for wrapper in found:
                    failpoint("withdraw.before-delete")
                    name, number = wrapper.name, str(wrapper.version)
                    if_any(lambda: self.client.delete_model_version(name, number))  # noqa: B023
                    failpoint("withdraw.after-delete")

    def _ahead(self, model: str) -> Iterator[SourceCommit]:
        """Give the sources of the champion and of the candidate that waits."""
        for version in filter(None, {self.champion(model), self.waiting(model)}):
            state = self.state(model, version)
            if state and state.release:
                yield state.release.source_commit

    def waiting(self, model: str) -> int | None:
        """Return the version that waits for a person's answer; None if none does."""
        version = self.named(model, "candidate")
        return int(version.version) if version and state_of(version).waiting else None

    def _promote_to(
        self,
        target: PromotionTarget,
        command: Command,
        release: Release,
        audit: AuditInfo,
        description: str | None = None,
    ) -> Release:
        """Change the aliases up to ``target``, carry out ``command`` on the version, record it."""
        if self.copies.public_key:
            self._require_intact(release)
        versions = release.versions
        commands: dict[int, Command] = {versions.onnx.version: command}
        changed = self._tags_of(command, versions, f"{audit.actor}: {audit.reason}")
        if target == "champion":
            changed[versions.onnx.name][versions.onnx.version] |= {PENDING_EVENT: "pending"}
        older = self.waiting(versions.model)
        if older is not None and older != versions.onnx.version:
            commands[older] = "supersede"
            by = f"version {versions.onnx.version} came after it"
            changed[versions.onnx.name][older] = tags_of("supersede", by)
        transaction = AliasTransaction(
            model=versions.model,
            kind="promotion",
            audit=audit,
            version=versions.onnx.version,
            aliases={
                each.name: self._aliases_up_to(target, versions, each) for each in versions.wrappers
            },
            tag_changes=changed,
            run_tags={KEY: versions.key, RELEASE_RUN: versions.run_id},
        )
        before = self.champion(versions.model)
        with self._recorded(transaction, commands) as run_id:
            promotion = _promotion(transaction, run_id, before)
            done = release.model_copy(update={"promotion": promotion})
            self._describe(done, description)
            if description:
                self.client.set_tag(run_id, NOTE, description)
        return done

    def _describe(self, release: Release, description: str | None = None) -> None:
        """Write a release on its versions."""
        for wrapper in release.versions.wrappers:
            name, version = wrapper.name, str(wrapper.version)
            if description:
                self.client.update_model_version(name, version, description)
            for tag, value in release_tags(release).items():
                self.client.set_model_version_tag(name, version, tag, value)
            failpoint("promote.after-tags")

    def _aliases_up_to(
        self, target: PromotionTarget, versions: RegisteredVersions, wrapper: LoggedWrapper
    ) -> dict[str, int | None]:
        """Return the aliases that a promotion sets, in the order in which it sets them."""
        aliases: dict[str, int | None] = {"candidate": wrapper.version}
        if target == "champion":
            aliases |= self._previous_after(versions, wrapper)
            aliases["champion"] = wrapper.version
        return aliases

    @staticmethod
    def _tags_of(command: Command, versions: RegisteredVersions, by: str) -> TagChanges:
        """Return the tags of both versions of a release that a command sets."""
        served = tags_of(command, by)
        return {
            versions.onnx.name: {versions.onnx.version: served},
            versions.transformers.name: {versions.transformers.version: reference_tags(served)},
        }


def _promotion(transaction: AliasTransaction, run_id: str, champion: int | None) -> Promotion:
    """Return what a promotion set, given the champion before it."""
    targets = transaction.aliases[transaction.model].items()
    return Promotion(
        run_id=run_id,
        at=datetime.now(UTC),
        aliases=tuple(alias for alias, version in targets if version == transaction.version),
        previous=champion if champion != transaction.version else None,
    )
