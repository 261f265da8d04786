"""A candidate that waits for a person: the form that asks, and what follows from the answer."""

from contextlib import suppress
from typing import Literal
from uuid import UUID

from prefect import get_run_logger, task
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.input import RunInput
from prefect.runtime import flow_run
from pydantic import Field

from slipway.errors import MoveRefused
from slipway.report import next_steps
from slipway.settings import Settings
from slipway.tracking import pages
from slipway.values import ApprovalDecision, Entry, Promoted, Release
from tasks.context import audit_info, registry
from tasks.emit_event import emit_event, emit_pending_events
from tasks.inform import informing
from tasks.policies import uncached
from tasks.start_run import has_ended, start_run

DEPLOYMENT = "approve-model/approve-model"


class ApprovalAnswer(RunInput):
    """What a person decides about a candidate that passed its gates."""

    decision: Literal["approve", "reject"] = Field(
        description="approve: it becomes champion, and serves. reject: it is quarantined.",
    )
    reason: str = Field(
        pattern=r"\S",
        max_length=500,
        description="Why; the history and the version show it.",
    )


def waiting(model: str) -> int:
    """Return the version that waits for an answer.

    Raises:
        MoveRefused: If none does.
    """
    models = registry()
    models.recover(model)
    version = models.waiting(model)
    if version is None:
        advice = f"slipway history {model} shows what was decided"
        raise MoveRefused(model, "no candidate waits for approval", advice)
    return version


def describe_form(model: str, version: int) -> str:
    """Return what the form of this flow run shows, and record that it is the one that asks."""
    models = registry()
    models.record_approval_run(model, version, str(flow_run.id))
    settings = Settings()
    server = settings.mlflow_pages
    description = models.description(model, version).replace("](#/", f"]({server}/#/")
    links = f"[The version in MLflow]({pages.version(server, model, version)})"
    if settings.serves(model) and models.champion(model):
        links += f" · chat with it beside the champion: `{next_steps.beside(model, version)}`"
    return f"{description}\n\n{links}"


def request_approval(entry: Entry, release: Release) -> None:
    """Emit an event about a candidate that waits, and start the run of its form."""
    model, version = entry.name, release.versions.onnx.version
    emit_event("approval-wanted", model, version=version, commit=release.commit)
    get_run_logger().info(
        f"version {version} waits for approval: slipway approve {model} --reason TEXT"
    )
    start_form(release)


def start_form(release: Release) -> None:
    """Start the run whose form asks about a candidate, unless one is there that has not ended.

    Without its deployment nobody could resume that run; the command line or a tag in the MLflow UI
    answers then.
    """
    model, version = release.versions.model, release.versions.onnx.version
    parameters = {"model": model, "version": version}
    key = f"approve:{release.versions.key}:{version}"
    with informing("the approval form"):
        try:
            while has_ended(run := start_run(DEPLOYMENT, parameters, key)):
                key = f"approve:{run.id}"
        except ObjectNotFound:
            get_run_logger().info(f"no approval form: {DEPLOYMENT} is not deployed")


def roll_back_dead(model: str) -> None:
    """Roll back what a killed process left half done; the run's log says what."""
    for ended in registry().recover(model):
        get_run_logger().warning(f"{model}: {ended}")


def apply_answer(entry: Entry) -> None:
    """Carry out an answer that was given as a tag in MLflow; without one in time, a rejection.

    One that cannot be carried out holds up nothing else: the run's log says why.
    """
    try:
        release = registry().apply_answer(entry.name, entry.approval_timeout_hours)
    except MoveRefused as error:
        get_run_logger().warning(f"the answer by tag was not carried out: {error}")
        return
    if release:
        _publish_answer(release)


def ask_again(model: str) -> None:
    """Start the form of a candidate that waits, where none was started or its run was killed."""
    models = registry()
    version = models.waiting(model)
    if version is None or _is_open(models.approval_run(model, version)):
        return
    state = models.state(model, version)
    if state and state.release:
        start_form(state.release)


def _is_open(run_id: str | None) -> bool:
    """Return whether a form can be answered; also if Prefect does not say, since it may be."""
    if run_id is None:
        return False
    is_open = True
    with informing("the approval form"), get_client(sync_client=True) as client:
        try:
            is_open = not has_ended(client.read_flow_run(UUID(run_id)))
        except ObjectNotFound:
            is_open = False
    return is_open


def undo_manual_change(entry: Entry) -> str | None:
    """Return the aliases from versions that somebody chose by hand and that may not have them.

    Returns:
        What is wrong with the champion, where this process may not change it.
    """
    models, needs_approval = registry(), entry.target == "approval"
    if not models.may_promote:
        return models.manual_fault(entry.name, needs_approval=needs_approval)
    if change := models.undo_manual_change(entry.name, needs_approval=needs_approval):
        after = f"version {change.after} is champion again" if change.after else "none is left"
        get_run_logger().warning(f"{entry.name}: {change.audit.reason}; {after}")
        emit_pending_events(entry.name)
    if change := models.restore_aliases(entry.name):
        get_run_logger().warning(f"{entry.name}: {change.audit.reason}; it was put back")
    return None


@task(
    task_run_name="{decision} {model} v{version}",
    description="Promote or quarantine the candidate, as a person decided; a first answer holds.",
    **uncached(timeout_seconds=900),
)
def answer_approval(model: str, version: int, decision: ApprovalDecision, reason: str) -> Release:
    """Return the release as it is after the answer."""
    release = registry().decide(model, version, decision, audit_info(reason))
    _publish_answer(release)
    return release


def _publish_answer(release: Release) -> None:
    """Send the events of a decision, and close the form if it was not the one that answered."""
    versions = release.versions
    approved = isinstance(release.verdict, Promoted)
    emit_pending_events(versions.model)
    if not approved:
        reason = "; ".join(release.verdict.reasons)
        emit_event("quarantined", versions.model, version=versions.onnx.version, reason=reason)
    if run_id := registry().approval_run(versions.model, versions.onnx.version):
        decision = "approve" if approved else "reject"
        _resume(UUID(run_id), {"decision": decision, "reason": "answered elsewhere"})


def _resume(run_id: UUID, answer: dict[str, str]) -> None:
    """Answer the form of a run. In one that is left open, a later answer changes nothing."""
    with (
        informing("the answer in its form"),
        suppress(ObjectNotFound),
        get_client(sync_client=True) as client,
    ):
        run = client.read_flow_run(run_id)
        if run.state and run.state.is_paused():
            client.resume_flow_run(run_id, run_input=answer)
