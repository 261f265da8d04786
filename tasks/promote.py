"""Verdict → Release: aliases change, or the versions leave the registry."""

from prefect import get_run_logger, task

from slipway.report import document
from slipway.values import Promoted, Release, ReleaseSummary
from tasks.approval import request_approval
from tasks.context import audit_info, registry
from tasks.emit_event import emit_event, emit_pending_events
from tasks.policies import uncached


@task(
    task_run_name="promote {summary.versions.model} v{summary.versions.onnx.version}",
    description="Change both models' aliases together; or withdraw versions that may not serve.",
    **uncached(timeout_seconds=900),
)
def promote(summary: ReleaseSummary) -> Release:
    """Carry out the verdict, and return how the release ended."""
    versions, revision, verdict = summary.versions, summary.weights.revision, summary.verdict
    release = Release(
        versions=versions,
        repo=revision.source.repo,
        commit=revision.commit,
        variant=summary.artifact.variant,
        verdict=verdict,
        promotion=None,
        provenance=revision.provenance,
    )
    reasons = "; ".join(verdict.reasons)
    if not isinstance(verdict, Promoted):
        registry().withdraw(versions, verdict)
        get_run_logger().warning(f"{verdict.kind}: {reasons}")
        emit_event("rejected", versions.model, verdict=verdict.kind, reasons=reasons)
        return release
    description = document.description(summary)
    promoted = registry().promote(release, summary.entry.target, description, audit_info(reasons))
    if promoted.waiting:
        request_approval(summary.entry, promoted)
    emit_pending_events(versions.model)
    return promoted
