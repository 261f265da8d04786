"""Verdict → Release: aliases change, or the versions leave the registry."""

from prefect import get_run_logger, task

from slipway.report import document
from slipway.values import Promoted, PromotionTarget, Release, ReleaseSummary
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
    release = carry_out(
        release,
        summary.entry.target,
        document.description(summary),
        (*([insisted] if insisted else []), *release.verdict.reasons),
        overtakes=insisted is not None,
    )
    if not isinstance(verdict := release.verdict, Promoted):
        reasons = "; ".join(verdict.reasons)
        emit_event("rejected", versions.model, verdict=verdict.kind, reasons=reasons)
        return release
    if release.waiting:
        request_approval(summary.entry, release)
    emit_pending_events(versions.model)
    return release


def carry_out(
    release: Release,
    target: PromotionTarget,
    description: str,
    reasons: tuple[str, ...],
    *,
    overtakes: bool,
) -> Release:
    """Return the release as the registry has it then; rejected, if a newer one came before it.

    Args:
        release: With its verdict; what may not serve leaves the registry.
        target: How far it may go.
        description: Markdown for the version's page.
        reasons: For the record.
        overtakes: Whether a person wants it although its source is older.
    """
    if isinstance(release.verdict, Promoted):
        audit = audit_info("; ".join(reasons))
        release = registry().promote(release, target, description, audit, overtakes=overtakes)
    if not isinstance(verdict := release.verdict, Promoted):
        registry().withdraw(release.versions, verdict)
        get_run_logger().warning(f"{verdict.kind}: {'; '.join(verdict.reasons)}")
    return release
