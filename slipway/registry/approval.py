"""What people decide: a waiting candidate is approved or rejected, a quarantine is lifted."""

from datetime import UTC, datetime, timedelta

from slipway.errors import MoveRefused
from slipway.registry.alias_transaction import AliasTransaction, TagChanges
from slipway.registry.promotion import Promotions
from slipway.tracking.tag_values import VersionTags
from slipway.tracking.tags import (
    APPROVAL,
    APPROVAL_RUN,
    DECIDED,
    KEY,
    PENDING_EVENT,
    QUARANTINED,
    RELEASE_RUN,
)
from slipway.values import ApprovalDecision, AuditInfo, Promoted, Rejected, Release

_ANSWERS: dict[str, ApprovalDecision] = {"approved": "approve", "rejected": "reject"}


class Approvals(Promotions):
    """Carries out what people decide about candidates."""

    def decide(
        self, model: str, version: int, decision: ApprovalDecision, audit: AuditInfo
    ) -> Release:
        """Return the release that a person approved or rejected, once that is carried out.

        The first answer counts; a later one returns what the first one led to.

        Raises:
            MoveRefused: If no approval was asked for.
            RegistryConflict: If the aliases could not be changed; they are as they were.
        """
        with self._locked(model):
            self._recover(model)
            state = self.state(model, version)
            if state is None or state.release is None or state.approval is None:
                reason = f"version {version} does not wait for approval"
                raise MoveRefused(model, reason, f"slipway status {model} shows what is there")
            if not state.waiting:
                return state.release.model_copy(update={"existed": True})
            if decision == "approve":
                return self._approve(state.release, audit)
            return self._reject(state.release, audit)

    def apply_answer(self, model: str, timeout_hours: float) -> Release | None:
        """Carry out an answer that was given as a tag; without one in time, a rejection.

        Returns:
            The release that was decided about; None if there was nothing to carry out.
        """
        version = self.waiting(model)
        if version is None:
            return None
        answer = self.tags(model, version)[APPROVAL].strip().lower()
        if decision := _ANSWERS.get(answer):
            audit = AuditInfo(actor="MLflow UI", reason=f"the tag {APPROVAL} was set to {answer}")
            return self.decide(model, version, decision, audit)
        if datetime.now(UTC) - self._asked_at(model, version) < timedelta(hours=timeout_hours):
            return None
        reason = f"nobody approved it within {timeout_hours:g} hours"
        return self.decide(model, version, "reject", AuditInfo(actor="timeout", reason=reason))

    def lift_quarantine(self, model: str, key: str, audit: AuditInfo) -> Release | None:
        """Let the quarantined version with this key serve again, since somebody asks for it.

        Its gates were passed when it was released; its bytes are compared again.

        Returns:
            The release, which serves now; None if no version with this key is quarantined.

        Raises:
            MoveRefused: If its bytes are not what was released.
            RegistryConflict: If the aliases could not be changed; they are as they were.
        """
        with self._locked(model):
            self._recover(model)
            for version in self._versions(model, key):
                state = VersionTags.from_tags(version.tags)
                if state.quarantined is not None and state.release:
                    self._require_intact(state.release)
                    if state.approval is not None:
                        return self._approve(state.release, audit)
                    pending: dict[str, str | None] = {PENDING_EVENT: "pending"}
                    return self._promote_to("champion", state.release, audit, pending)
        return None

    def record_approval_run(self, model: str, version: int, run_id: str) -> None:
        """Record which Prefect run's form waits, so that another answer can close it."""
        self.client.set_model_version_tag(model, str(version), APPROVAL_RUN, run_id)

    def approval_run(self, model: str, version: int) -> str | None:
        """Return the Prefect run whose form waits; None if there was none."""
        return self.tags(model, version).get(APPROVAL_RUN)

    def _approve(self, release: Release, audit: AuditInfo) -> Release:
        by = f"{audit.actor}: {audit.reason}"
        verdict = release.verdict
        if not isinstance(verdict, Promoted):
            verdict = Promoted(reasons=(f"approved by {by}",))
        approved = release.model_copy(update={"waiting": False, "verdict": verdict})
        tags: dict[str, str | None] = {APPROVAL: "approved", DECIDED: by, PENDING_EVENT: "pending"}
        return self._promote_to("champion", approved, audit, tags)

    def _reject(self, release: Release, audit: AuditInfo) -> Release:
        """Quarantine a candidate that a person rejected: nobody is asked about it again."""
        versions, by = release.versions, f"{audit.actor}: {audit.reason}"
        reason = f"rejected by {by}"
        tag_changes: TagChanges = {
            each.name: {each.version: {QUARANTINED: reason}} for each in versions.wrappers
        }
        tag_changes[versions.model][versions.onnx.version] |= {APPROVAL: "rejected", DECIDED: by}
        transaction = AliasTransaction(
            model=versions.model,
            kind="rejection",
            audit=audit,
            version=versions.onnx.version,
            aliases={
                each.name: {"candidate": None}
                for each in versions.wrappers
                if self.aliases(each.name).get("candidate") == each.version
            },
            tag_changes=tag_changes,
            run_tags={KEY: versions.key, RELEASE_RUN: versions.run_id},
        )
        changes = {"waiting": False, "promotion": None, "verdict": Rejected(reasons=(reason,))}
        rejected = release.model_copy(update=changes)
        with self._recorded(transaction):
            self._describe(rejected)
        return rejected

    def _asked_at(self, model: str, version: int) -> datetime:
        asked = (change.at for change in self.changes(model) if change.version == version)
        return max(asked, default=datetime.now(UTC))
