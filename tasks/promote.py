"""Verdict → Release: aliases move, or the candidate leaves the registry."""

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from slipway import report
from slipway.values import Dossier, Promote, Release
from tasks.announce import announce, announce_pending
from tasks.approval import ask
from tasks.edge import cause, registry
from tasks.policies import RETRIED


@task(
    task_run_name="promote {dossier.candidate.model} v{dossier.candidate.onnx.version}",
    description="Move both models' aliases together; or withdraw a candidate that may not serve.",
    cache_policy=NO_CACHE,
    **RETRIED,
    timeout_seconds=900,
)
def promote(dossier: Dossier) -> Release:
    """Carry out the verdict, and return how the release ended."""
    candidate, revision = dossier.candidate, dossier.weights.revision
    release = Release(
        candidate=candidate,
        repo=revision.source.repo,
        commit=revision.commit,
        variant=dossier.artifact.variant,
        verdict=dossier.verdict,
        promotion=None,
    )
    reasons = "; ".join(dossier.verdict.reasons)
    if not isinstance(dossier.verdict, Promote):
        registry().withdraw(candidate, dossier.verdict)
        get_run_logger().warning(f"{dossier.verdict.kind}: {reasons}")
        announce("kept", candidate.model, verdict=dossier.verdict.kind, reasons=reasons)
        return release
    description = report.description(dossier)
    promoted = registry().promote(release, dossier.entry.goal, description, cause(reasons))
    if promoted.waiting:
        ask(dossier.entry, promoted)
    announce_pending(candidate.model)
    return promoted
