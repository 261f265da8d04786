"""A candidate that passed its gates becomes champion: at once, or when a person approves it."""

from datetime import UTC, datetime

from slipway.errors import MoveRefused
from slipway.registry.alias_transaction import AliasTransaction, AliasTransactions, TagChanges
from slipway.registry.lookup import how_to_lift
from slipway.registry.registration import Registration
from slipway.tracking.tag_values import release_tags
from slipway.tracking.tags import (
    APPROVAL,
    DECIDED,
    KEY,
    NOTE,
    PENDING_EVENT,
    QUARANTINED,
    RELEASE_RUN,
)
from slipway.values import (
    AuditInfo,
    LoggedWrapper,
    Promotion,
    PromotionTarget,
    RegisteredVersions,
    Release,
)

#: Tags of the serving version by how far it goes; None removes one.
_TAGS: dict[PromotionTarget, dict[str, str | None]] = {
    "approval": {APPROVAL: "pending", DECIDED: None},
    "champion": {PENDING_EVENT: "pending"},
    "candidate": {},
}


class Promotions(Registration, AliasTransactions):
    """Promotes candidates."""

    def promote(
        self, release: Release, target: PromotionTarget, description: str, audit: AuditInfo
    ) -> Release:
        """Return ``release`` with the promotion that was made: both models' aliases, or neither.

        Args:
            release: What may serve, and what is recorded on its versions.
            target: ``champion``; ``candidate`` to stop there; ``approval`` to wait there.
            description: Markdown for the version's page.
            audit: By whom or what it was released, and why it may serve.

        Raises:
            RegistryConflict: If the aliases could not be changed; they are as they were.
            MoveRefused: If its version is quarantined.
        """
        versions = release.versions
        with self._locked(versions.model):
            self._recover(versions.model)
            self._require_not_quarantined(versions)
            waiting = release.model_copy(update={"waiting": target == "approval"})
            return self._promote_to(target, waiting, audit, _TAGS[target], description)

    def waiting(self, model: str) -> int | None:
        """Return the version that waits for a person's answer; None if none does."""
        version = self.aliases(model).get("candidate")
        state = self.state(model, version) if version else None
        return version if state and state.waiting else None

    def _promote_to(
        self,
        target: PromotionTarget,
        release: Release,
        audit: AuditInfo,
        tags: dict[str, str | None],
        description: str | None = None,
    ) -> Release:
        """Change the aliases up to ``target``, set ``tags`` on the serving version, record it."""
        versions = release.versions
        changed: TagChanges = {each.name: {each.version: {}} for each in versions.wrappers}
        changed[versions.onnx.name] = self._superseded(versions) | {versions.onnx.version: tags}
        if target == "champion":
            for each in versions.wrappers:
                changed[each.name][each.version] |= {QUARANTINED: None}
        transaction = AliasTransaction(
            model=versions.model,
            kind="promotion",
            audit=audit,
            version=versions.onnx.version,
            aliases={each.name: self._aliases_up_to(target, each) for each in versions.wrappers},
            tag_changes=changed,
            run_tags={KEY: versions.key, RELEASE_RUN: versions.run_id},
        )
        with self._recorded(transaction) as run_id:
            done = release.model_copy(update={"promotion": self._promotion(transaction, run_id)})
            self._describe(done, description)
            if description:
                self.client.set_tag(run_id, NOTE, description)
        return done

    def _promotion(self, transaction: AliasTransaction, run_id: str) -> Promotion:
        targets = transaction.aliases[transaction.model]
        return Promotion(
            run_id=run_id,
            at=datetime.now(UTC),
            aliases=tuple(alias for alias, version in targets.items() if version is not None),
            previous=self.aliases(transaction.model).get("previous"),
        )

    def _describe(self, release: Release, description: str | None = None) -> None:
        """Write a release on its versions and on its run."""
        for wrapper in release.versions.wrappers:
            name, version = wrapper.name, str(wrapper.version)
            if description:
                self.client.update_model_version(name, version, description)
            for tag, value in release_tags(release).items():
                self.client.set_model_version_tag(name, version, tag, value)
        self._set_outcome(release.versions, release.verdict)

    def _aliases_up_to(
        self, target: PromotionTarget, wrapper: LoggedWrapper
    ) -> dict[str, int | None]:
        """Return the aliases that a promotion sets, in the order in which it sets them."""
        aliases: dict[str, int | None] = {"candidate": wrapper.version}
        if target == "champion":
            before = self.aliases(wrapper.name)
            champion = before.get("champion")
            if champion not in {None, wrapper.version}:
                aliases["previous"] = champion
            elif before.get("previous") == wrapper.version:
                aliases["previous"] = None
            aliases["champion"] = wrapper.version
        return aliases

    def _superseded(self, versions: RegisteredVersions) -> dict[int, dict[str, str | None]]:
        """Return the tags of an older candidate whose approval is no longer asked for."""
        older = self.waiting(versions.model)
        if older in {None, versions.onnx.version}:
            return {}
        return {
            older: {
                APPROVAL: "superseded",
                DECIDED: f"version {versions.onnx.version} came after it",
            }
        }

    def _require_not_quarantined(self, versions: RegisteredVersions) -> None:
        state = self.state(versions.onnx.name, versions.onnx.version)
        if state and state.quarantined:
            what = f"version {versions.onnx.version} is quarantined ({state.quarantined})"
            raise MoveRefused(versions.model, what, how_to_lift(versions.model))
