"""What people decide: a waiting candidate is approved or rejected, a quarantine is lifted."""

from datetime import UTC, datetime, timedelta

from slipway.errors import MoveRefused
from slipway.registry.change_record import PLACES, AliasTransaction, RecordPlace
from slipway.registry.lookup import state_of
from slipway.registry.promotion import Promotions
from slipway.registry.transitions import Command, after, require
from slipway.tracking.tag_values import answer_in
from slipway.tracking.tags import APPROVAL, APPROVAL_RUN, KEY, RELEASE_RUN
from slipway.values import AliasChange, ApprovalDecision, AuditInfo, Promoted, Rejected, Release

_ANSWERS: dict[str, ApprovalDecision] = {"approved": "approve", "rejected": "reject"}
#: States of versions about which a person has decided.
_ANSWERED = {"approved", "rejected"}


class Approvals(Promotions):
    """Carries out what people decide about candidates."""

    def decide(
        self, model: str, version: int, decision: ApprovalDecision, audit: AuditInfo
    ) -> Release:
        """Return the release that a person approved or rejected, once that is carried out.

        The first answer counts; a later one returns what the first one led to.

        Raises:
            MoveRefused: If it does not wait for approval: it is quarantined, for example.
            RegistryConflict: If the aliases could not be changed; they are as they were.
        """
        with self._locked(model):
            self._recover(model)
            return self._decide(model, version, decision, audit)

    def apply_answer(self, model: str, timeout_hours: float) -> Release | None:
        """Carry out an answer that was given as a tag; without one in time, a rejection.

        Where people have roles, a tag answers nothing: everybody who may release can set it.

        Returns:
            The release that was decided about; None if there was nothing to carry out.

        Raises:
            MoveRefused: If the answer cannot be carried out, before its time is over.
        """
        if self.waiting(model) is None or not self.may_promote:
            return None
        with self._locked(model):
            self._recover(model)
            version = self.waiting(model)
            if version is None:
                return None
            waits = datetime.now(UTC) - self._asked_at(model, version)
            is_late, within = waits >= timedelta(hours=timeout_hours), f"{timeout_hours:g} hours"
            reason = f"nobody approved it within {within}"
            answer = answer_in(self.tags(model, version))
            if (decision := _ANSWERS.get(answer)) and not self.has_roles:
                said = f"the tag {APPROVAL} was set to {answer}"
                try:
                    audit = AuditInfo(actor="MLflow UI", reason=said)
                    return self._decide(model, version, decision, audit)
                except MoveRefused as error:
                    if not is_late:
                        raise
                    reason = f"it could not be {answer} within {within}: {error.reason}"
            if not is_late:
                return None
            audit = AuditInfo(actor="timeout", reason=reason[:1000])
            return self._decide(model, version, "reject", audit)

    def lift_quarantine(self, model: str, key: str, audit: AuditInfo) -> Release | None:
        """Let the quarantined version with this key serve again, since somebody asks for it.

        Its gates were passed when it was released; its bytes are compared again. This counts as
        its approval.

        Returns:
            The release, which serves now; None if no version with this key is quarantined.

        Raises:
            MoveRefused: If its bytes are not what was released.
            RegistryConflict: If the aliases could not be changed; they are as they were.
        """
        with self._locked(model):
            self._recover(model)
            for version in self._versions(model, key):
                found = state_of(version)
                if found.release and after("lift", found.state):
                    self._require_intact(found.release)
                    return self._approve("lift", found.release, audit)
        return None

    def record_approval_run(self, model: str, version: int, run_id: str) -> None:
        """Record which Prefect run's form waits, so that another answer can close it."""
        self.client.set_model_version_tag(model, str(version), APPROVAL_RUN, run_id)

    def approval_run(self, model: str, version: int) -> str | None:
        """Return the Prefect run whose form waits; None if there was none."""
        return self.tags(model, version).get(APPROVAL_RUN)

    def _decide(
        self, model: str, version: int, decision: ApprovalDecision, audit: AuditInfo
    ) -> Release:
        found = self.state(model, version)
        release = found.release if found else None
        if found and release and found.state in _ANSWERED:
            return self._as_found(release, found)
        require(decision, model, version, found)
        assert release is not None  # noqa: S101 - what waits is a release
        if decision == "approve":
            return self._approve("approve", release, audit)
        return self._reject(release, audit)

    def _approve(self, command: Command, release: Release, audit: AuditInfo) -> Release:
        verdict = release.verdict
        if not isinstance(verdict, Promoted):
            verdict = Promoted(reasons=(f"approved by {audit.actor}: {audit.reason}",))
        approved = release.model_copy(update={"waiting": False, "verdict": verdict})
        return self._promote_to("champion", command, approved, audit)

    def _reject(self, release: Release, audit: AuditInfo) -> Release:
        """Quarantine a candidate that a person rejected: nobody is asked about it again.

        Somebody may have deleted its reference. Its record stays that of its gates: what a person
        decided is in its state, and goes with it if the change is rolled back.
        """
        versions, by = release.versions, f"{audit.actor}: {audit.reason}"
        tags = self._tags_of("reject", versions, by)
        there = [each for each in versions.wrappers if self._if_there(each.name, each.version)]
        transaction = AliasTransaction(
            model=versions.model,
            kind="rejection",
            audit=audit,
            version=versions.onnx.version,
            aliases={
                each.name: {"candidate": None}
                for each in there
                if self.aliases(each.name).get("candidate") == each.version
            },
            tag_changes={each.name: tags[each.name] for each in there},
            run_tags={KEY: versions.key, RELEASE_RUN: versions.run_id},
        )
        verdict = Rejected(reasons=(f"rejected by {by}",))
        changes = {"waiting": False, "promotion": None, "verdict": verdict}
        with self._recorded(transaction, {versions.onnx.version: "reject"}):
            pass
        return release.model_copy(update=changes)

    def _asked_at(self, model: str, version: int) -> datetime:
        newest = (self._newest_about(model, version, place) for place in PLACES)
        return max((change.at for change in newest if change), default=datetime.now(UTC))

    def _newest_about(self, model: str, version: int, place: RecordPlace) -> AliasChange | None:
        changes = self.newest_changes(model, place)
        return next((change for change in changes if change.version == version), None)
