"""A bundle → a release of the registry that it goes to."""

from prefect import task

from slipway.errors import MoveRefused
from slipway.evaluation import decision
from slipway.settings import Settings
from slipway.tracking import log_bundle
from slipway.tracking.bundle import Bundle
from slipway.tracking.location import mlflow_location
from slipway.values import (
    Champion,
    Entry,
    PromotionTarget,
    RegisteredVersions,
    Release,
    SmokeReport,
    Verdict,
)
from tasks.approval import request_approval, roll_back_dead
from tasks.context import registry
from tasks.emit_event import emit_pending_events
from tasks.policies import uncached
from tasks.promote import carry_out


@task(
    task_run_name="find {model} {key:.8} there",
    description="Look for an earlier promotion of this release; roll back what a killed one left.",
    **uncached(timeout_seconds=600),
)
def find_promoted(model: str, key: str) -> Release | None:
    """Return the finished release with this key; None if there is none."""
    registry().require_experiments(model)
    roll_back_dead(model)
    return registry().released(model, key)


@task(
    task_run_name="register {bundle.record.model} {bundle.comes_from}",
    description="Log both wrappers, byte by byte, and register them once for their release key.",
    **uncached(timeout_seconds=3600),
)
def register_bundle(entry: Entry, bundle: Bundle) -> RegisteredVersions:
    """Return both wrappers as registered versions."""
    location = mlflow_location(Settings())
    request = log_bundle.BundleRequest.of(bundle, entry.title, location)
    return registry().register_once(request, log_bundle.log)


@task(
    task_run_name="decide about {bundle.comes_from}",
    description="Compare the new smoke test, and the gates of the release, with the limits.",
    **uncached(timeout_seconds=600),
)
def decide_again(
    entry: Entry, bundle: Bundle, report: SmokeReport, champion: Champion | None
) -> Verdict:
    """Return whether a release that was tested on this machine may serve there."""
    recorded, precision = bundle.record.gates, bundle.run.precision
    results = decision.gates_again(entry.gates, recorded, precision, report, champion)
    return decision.judge(report, results)


@task(
    task_run_name="promote {versions.model} v{versions.onnx.version}",
    description="Change both models' aliases together; or withdraw versions that may not serve.",
    **uncached(timeout_seconds=900),
)
def promote_bundle(  # noqa: PLR0913 - a promotion follows from all of them
    *,
    bundle: Bundle,
    versions: RegisteredVersions,
    verdict: Verdict,
    target: PromotionTarget,
    reason: str | None,
    force: bool,
) -> Release:
    """Carry out the verdict, and return how the promotion ended."""
    reasons = (f"promoted from {bundle.comes_from}", *([reason] if reason else []))
    return carry_out(
        bundle.release(versions, verdict),
        target,
        log_bundle.description(bundle, versions.run_id, mlflow_location(Settings())),
        (*reasons, *verdict.reasons),
        overtakes=force,
    )


@task(
    task_run_name="announce {release.versions.model} v{release.versions.onnx.version}",
    description="Send the events about the alias change; ask for an approval if it needs one.",
    **uncached(timeout_seconds=600),
)
def announce_landed(entry: Entry, release: Release) -> None:
    """Let the services of this registry act on what was unbundled.

    In another environment nobody does this here: its own `reconcile` finds what is pending.
    """
    if release.waiting:
        request_approval(entry, release)
    emit_pending_events(entry.name)


def require_reason_to_force(model: str, reason: str | None, *, force: bool) -> None:
    """Refuse to let an older source overtake a newer one if nobody says why.

    Raises:
        MoveRefused: If there is no reason.
    """
    if force and not (reason or "").strip():
        advice = "give one, with --reason TEXT or in the form"
        raise MoveRefused(model, "promoting an older source needs a reason", advice)
