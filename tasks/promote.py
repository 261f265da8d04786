"""Verdict → Release: aliases move, or the versions leaves the registry."""

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from slipway.report import document
from slipway.values import Promoted, Release, ReleaseSummary
from tasks.approval import ask
from tasks.context import audit_info, registry
from tasks.emit_event import emit_event, emit_pending_events
from tasks.policies import RETRIED


@task(
    task_run_name="promote {summary.versions.model} v{summary.versions.onnx.version}",
    description="Move both models' aliases together; or withdraw a versions that may not serve.",
    cache_policy=NO_CACHE,
    **RETRIED,
    timeout_seconds=900,
)
def promote(summary: ReleaseSummary) -> Release:
    """Carry out the verdict, and return how the release ended."""
    versions, revision = summary.versions, summary.weights.revision
    release = Release(
        versions=versions,
        repo=revision.source.repo,
        commit=revision.commit,
        variant=summary.artifact.variant,
        verdict=summary.verdict,
        promotion=None,
    )
    reasons = "; ".join(summary.verdict.reasons)
    if not isinstance(summary.verdict, Promoted):
        registry().withdraw(versions, summary.verdict)
        get_run_logger().warning(f"{summary.verdict.kind}: {reasons}")
        emit_event("rejected", versions.model, verdict=summary.verdict.kind, reasons=reasons)
        return release
    description = document.description(summary)
    promoted = registry().promote(release, summary.entry.goal, description, audit_info(reasons))
    if promoted.waiting:
        ask(summary.entry, promoted)
    emit_pending_events(versions.model)
    return promoted
