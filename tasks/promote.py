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
def promote(summary: ReleaseSummary, insisted: str | None = None) -> Release:
    """Carry out the verdict, and return how the release ended.

    Args:
        summary: Everything about the release.
        insisted: Why a person wants it although its source is older than the champion's.
    """
    versions, revision = summary.versions, summary.weights.revision
    release = Release(
        versions=versions,
        repo=revision.source.repo,
        commit=revision.commit,
        variant=summary.artifact.variant,
        verdict=summary.verdict,
        promotion=None,
        provenance=revision.provenance,
        dated=revision.dated,
    )
    if isinstance(release.verdict, Promoted):
        release = _promoted(release, summary, insisted)
    if not isinstance(verdict := release.verdict, Promoted):
        reasons = "; ".join(verdict.reasons)
        registry().withdraw(versions, verdict)
        get_run_logger().warning(f"{verdict.kind}: {reasons}")
        emit_event("rejected", versions.model, verdict=verdict.kind, reasons=reasons)
        return release
    if release.waiting:
        request_approval(summary.entry, release)
    emit_pending_events(versions.model)
    return release


def _promoted(release: Release, summary: ReleaseSummary, insisted: str | None) -> Release:
    """Return the release as the registry has it then; rejected, if a newer one came before it."""
    reasons = (*([insisted] if insisted else []), *release.verdict.reasons)
    return registry().promote(
        release,
        summary.entry.target,
        document.description(summary),
        audit_info("; ".join(reasons)),
        overtakes=insisted is not None,
    )
