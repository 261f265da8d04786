"""What passed its gates serves: at once, or when a person has approved it."""

from datetime import UTC, datetime

from slipway.errors import MoveRefused
from slipway.registry.alias_transaction import AliasTransaction, AliasTransactions, TagChanges
from slipway.registry.names import is_open, to_lift
from slipway.registry.registration import Registration
from slipway.tracking.tags import (
    APPROVAL,
    DECIDED,
    KEY,
    PENDING_EVENT,
    QUARANTINED,
    RELEASE,
    STATUS,
)
from slipway.values import (
    AuditInfo,
    LoggedWrapper,
    Promotion,
    PromotionTarget,
    RegisteredVersions,
    Release,
)


class Promotions(Registration, AliasTransactions):
    """Promotes candidates."""

    def promote(
        self, release: Release, goal: PromotionTarget, description: str, cause: AuditInfo
    ) -> Release:
        """Return ``release`` with the promotion that was made: both models' aliases, or neither.

        Args:
            release: What may serve, and what is recorded on its versions.
            goal: ``champion``; ``candidate`` to stop there; ``approval`` to wait there.
            description: Markdown for the version's page.
            cause: By whom or what it was released, and why it may serve.

        Raises:
            RegistryConflict: If the aliases could not be moved; they are as they were.
            MoveRefused: If its version is quarantined.
        """
        candidate = release.versions
        marks: dict[PromotionTarget, dict[str, str | None]] = {
            "approval": {APPROVAL: "pending", DECIDED: None},
            "champion": {PENDING_EVENT: "pending"},
            "candidate": {},
        }
        with self._alone(candidate.model):
            self._settle(candidate.model)
            self._require_free(candidate)
            waiting = release.model_copy(update={"waiting": goal == "approval"})
            return self._raise(waiting, goal, cause, marks[goal], description)

    def _raise(
        self,
        release: Release,
        goal: PromotionTarget,
        cause: AuditInfo,
        tags: dict[str, str | None],
        description: str | None = None,
    ) -> Release:
        """Move the aliases up to ``goal``, put ``tags`` on the serving version, and record it."""
        candidate = release.versions
        marks: TagChanges = {each.name: {each.version: {}} for each in candidate.wrappers}
        marks[candidate.onnx.name] = self._superseded(candidate) | {candidate.onnx.version: tags}
        if goal == "champion":
            for each in candidate.wrappers:
                marks[each.name][each.version] |= {QUARANTINED: None}
        transfer = AliasTransaction(
            model=candidate.model,
            kind="promotion",
            cause=cause,
            version=candidate.onnx.version,
            aliases={each.name: self._upward(each, goal) for each in candidate.wrappers},
            marks=marks,
            tags={KEY: candidate.key, "slipway.release_run": candidate.run_id},
        )
        with self._moving(transfer) as run_id:
            done = release.model_copy(update={"promotion": self._promotion(transfer, run_id)})
            self._describe(done, description)
            if description:
                self.client.set_tag(run_id, "mlflow.note.content", description)
        return done

    def _promotion(self, transfer: AliasTransaction, run_id: str) -> Promotion:
        targets = transfer.aliases[transfer.model]
        return Promotion(
            run_id=run_id,
            at=datetime.now(UTC),
            aliases=tuple(alias for alias, version in targets.items() if version is not None),
            previous=self.aliases(transfer.model).get("previous"),
        )

    def _describe(self, release: Release, description: str | None = None) -> None:
        for wrapper in release.versions.wrappers:
            name, version = wrapper.name, str(wrapper.version)
            if description:
                self.client.update_model_version(name, version, description)
            self.client.set_model_version_tag(name, version, RELEASE, release.model_dump_json())
            self.client.set_model_version_tag(name, version, STATUS, "released")
        self._describe_run(release.versions, release.verdict)

    def _upward(self, wrapper: LoggedWrapper, goal: PromotionTarget) -> dict[str, int | None]:
        """Return the aliases that a promotion sets, in the order in which it sets them."""
        moves: dict[str, int | None] = {"candidate": wrapper.version}
        if goal == "champion":
            before = self.aliases(wrapper.name)
            champion = before.get("champion")
            if champion not in {None, wrapper.version}:
                moves["previous"] = champion
            elif before.get("previous") == wrapper.version:
                moves["previous"] = None
            moves["champion"] = wrapper.version
        return moves

    def _superseded(self, candidate: RegisteredVersions) -> dict[int, dict[str, str | None]]:
        """Return the mark of a candidate whose approval nobody has to give any more."""
        version = self.aliases(candidate.model).get("candidate")
        if version in {None, candidate.onnx.version}:
            return {}
        if not is_open(self.tags(candidate.model, version)):
            return {}
        text = f"version {candidate.onnx.version} came after it"
        return {version: {APPROVAL: "superseded", DECIDED: text}}

    def _require_free(self, candidate: RegisteredVersions) -> None:
        if reason := self.tags(candidate.onnx.name, candidate.onnx.version).get(QUARANTINED):
            what = f"version {candidate.onnx.version} is quarantined ({reason})"
            raise MoveRefused(candidate.model, what, to_lift(candidate.model))
