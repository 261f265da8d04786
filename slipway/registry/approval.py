"""What people decide: a candidate that waits is approved or rejected, a quarantine is lifted."""

from datetime import UTC, datetime, timedelta

from slipway.errors import MoveRefused
from slipway.registry.alias_transaction import AliasTransaction, TagChanges
from slipway.registry.integrity import require_intact
from slipway.registry.names import is_open
from slipway.registry.promotion import Promotions
from slipway.tracking.tags import (
    APPROVAL,
    APPROVAL_RUN,
    DECIDED,
    KEY,
    PENDING_EVENT,
    QUARANTINED,
    RELEASE,
)
from slipway.values import ApprovalDecision, AuditInfo, Promoted, Rejected, Release

_ANSWERS: dict[str, ApprovalDecision] = {"approved": "approve", "rejected": "reject"}


class Approvals(Promotions):
    """Carries out what people decide about candidates."""

    def waiting(self, model: str) -> int | None:
        """Return the version that waits for a person's answer; None if none does."""
        version = self.aliases(model).get("candidate")
        return version if version and is_open(self.tags(model, version)) else None

    def decide(
        self, model: str, version: int, decision: ApprovalDecision, cause: AuditInfo
    ) -> Release:
        """Return the release that a person approved or rejected, once that is carried out.

        The first answer counts; a later one returns what it led to.

        Raises:
            MoveRefused: If no approval was asked for.
            RegistryConflict: If the aliases could not be moved; they are as they were.
        """
        with self._alone(model):
            self._settle(model)
            tags = self._tags_if_any(model, version) or {}
            if RELEASE not in tags or APPROVAL not in tags:
                reason = f"version {version} does not wait for approval"
                raise MoveRefused(model, reason, f"slipway status {model} shows what is there")
            release = Release.model_validate_json(tags[RELEASE])
            if not is_open(tags):
                return release.model_copy(update={"existed": True})
            if decision == "approve":
                return self._approve(release, cause)
            return self._reject(release, cause)

    def settle_approval(self, model: str, timeout_hours: float) -> Release | None:
        """Carry out an answer that was given as a tag, or by nobody for too long.

        Returns:
            The release that was decided about; None if there was nothing to carry out.
        """
        version = self.waiting(model)
        if version is None:
            return None
        answer = self.tags(model, version)[APPROVAL].strip().lower()
        if decision := _ANSWERS.get(answer):
            cause = AuditInfo(actor="MLflow UI", reason=f"the tag {APPROVAL} was set to {answer}")
            return self.decide(model, version, decision, cause)
        if datetime.now(UTC) - self._asked_at(model, version) < timedelta(hours=timeout_hours):
            return None
        reason = f"nobody approved it within {timeout_hours:g} hours"
        return self.decide(model, version, "reject", AuditInfo(actor="timeout", reason=reason))

    def lift(self, model: str, key: str, cause: AuditInfo) -> Release | None:
        """Let the quarantined version with this key serve again, by somebody's explicit wish.

        Its gates were passed when it was released; its bytes are compared again.

        Returns:
            The release, which serves now; None if no version with this key is quarantined.

        Raises:
            MoveRefused: If its bytes are not what was released.
            RegistryConflict: If the aliases could not be moved; they are as they were.
        """
        with self._alone(model):
            self._settle(model)
            for version in self._versions(model, key):
                if QUARANTINED in version.tags and RELEASE in version.tags:
                    release = Release.model_validate_json(version.tags[RELEASE])
                    require_intact(self, release)
                    if APPROVAL in version.tags:
                        return self._approve(release, cause)
                    return self._raise(release, "champion", cause, {PENDING_EVENT: "pending"})
        return None

    def note_form(self, model: str, version: int, run_id: str) -> None:
        """Remember which Prefect run's form waits, so that another answer can close it."""
        self.client.set_model_version_tag(model, str(version), APPROVAL_RUN, run_id)

    def form(self, model: str, version: int) -> str | None:
        """Return the Prefect run whose form waits; None if there was none."""
        return self.tags(model, version).get(APPROVAL_RUN)

    def _approve(self, release: Release, cause: AuditInfo) -> Release:
        by = f"{cause.actor}: {cause.reason}"
        changes = {"waiting": False, "verdict": Promoted(reasons=(f"approved by {by}",))}
        if isinstance(release.verdict, Promoted):
            del changes["verdict"]
        tags: dict[str, str | None] = {APPROVAL: "approved", DECIDED: by, PENDING_EVENT: "pending"}
        return self._raise(release.model_copy(update=changes), "champion", cause, tags)

    def _reject(self, release: Release, cause: AuditInfo) -> Release:
        """Quarantine a candidate that a person did not want: nobody is asked about it again."""
        candidate, by = release.versions, f"{cause.actor}: {cause.reason}"
        reason = f"rejected by {by}"
        marks: TagChanges = {
            each.name: {each.version: {QUARANTINED: reason}} for each in candidate.wrappers
        }
        marks[candidate.model][candidate.onnx.version] |= {APPROVAL: "rejected", DECIDED: by}
        transfer = AliasTransaction(
            model=candidate.model,
            kind="rejection",
            cause=cause,
            version=candidate.onnx.version,
            aliases={
                each.name: {"candidate": None}
                for each in candidate.wrappers
                if self.aliases(each.name).get("candidate") == each.version
            },
            marks=marks,
            tags={KEY: candidate.key, "slipway.release_run": candidate.run_id},
        )
        changes = {"waiting": False, "promotion": None, "verdict": Rejected(reasons=(reason,))}
        done = release.model_copy(update=changes)
        with self._moving(transfer):
            self._describe(done)
        return done

    def _asked_at(self, model: str, version: int) -> datetime:
        asked = (move.at for move in self.moves(model) if move.version == version)
        return max(asked, default=datetime.now(UTC))
