"""A candidate that waits → the form in which people answer, and what comes of it."""

from typing import Literal
from uuid import UUID

from prefect import get_run_logger
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.input import RunInput
from pydantic import Field

from slipway.values import Entry, Release
from tasks.context import registry
from tasks.emit_event import emit_event, emit_pending_events
from tasks.start_run import start_run

DEPLOYMENT = "approve-model/approve-model"


class ApprovalAnswer(RunInput):
    """What a person decides about a candidate that passed its gates."""

    decision: Literal["approve", "reject"] = Field(
        description="approve: it becomes champion, and serves. reject: it is quarantined.",
    )
    reason: str = Field(
        pattern=r"\S",
        max_length=500,
        description="Why; it stands in the history, and on the version.",
    )


def ask(entry: Entry, release: Release) -> None:
    """Tell that an approval is wanted, and open the form in which it is given."""
    model, version = entry.name, release.versions.onnx.version
    emit_event("approval-wanted", model, version=version, commit=release.commit)
    get_run_logger().info(f"version {version} waits: slipway approve {model} --reason TEXT")
    open_form(release)


def open_form(release: Release) -> None:
    """Open the form of a candidate that waits, unless it was opened before.

    Without its deployment nobody could resume the form's run; so the command line or a tag in the
    MLflow UI answers.
    """
    model, version = release.versions.model, release.versions.onnx.version
    try:
        asked = {"model": model, "version": version}
        start_run(DEPLOYMENT, asked, f"approve:{release.versions.key}:{version}")
    except ObjectNotFound:
        get_run_logger().info(f"there is no form for it: {DEPLOYMENT} is not deployed")


def settle_approval(entry: Entry) -> None:
    """Carry out an answer that was given as a tag in MLflow, or by nobody for too long."""
    if release := registry().settle_approval(entry.name, entry.approval_timeout_hours):
        carried_out(release)


def carried_out(release: Release) -> None:
    """Tell what was decided, and close the form if it was not the one that answered."""
    candidate = release.versions
    emit_pending_events(candidate.model)
    if release.verdict.kind == "rejected":
        reason = "; ".join(release.verdict.reasons)
        emit_event("quarantined", candidate.model, version=candidate.onnx.version, reason=reason)
    run_id = registry().form(candidate.model, candidate.onnx.version)
    if run_id:
        decision = "reject" if release.verdict.kind == "rejected" else "approve"
        _resume(UUID(run_id), {"decision": decision, "reason": "answered elsewhere"})


def _resume(run_id: UUID, answer: dict[str, str]) -> None:
    with get_client(sync_client=True) as client:
        try:
            run = client.read_flow_run(run_id)
        except ObjectNotFound:
            return
        if run.state and run.state.is_paused():
            client.resume_flow_run(run_id, run_input=answer)
