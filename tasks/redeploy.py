"""The steps of a redeploy, one task each."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from slipway import catalogue
from slipway.checks import prompt_files, suites
from slipway.evaluation import gates
from slipway.redeploy import model_server, watch_record
from slipway.redeploy.compare import champion_state
from slipway.redeploy.deployment import Deployment
from slipway.redeploy.golden_prompts import GoldenPrompts
from slipway.redeploy.values import (
    Deploy,
    DeployRejected,
    NoChange,
    RedeployDecision,
    Reject,
    SwitchResult,
)
from slipway.serving.api_keys import own_key
from slipway.settings import Settings
from slipway.system.failpoints import failpoint
from slipway.tracking.verified_copy import CopyPlace
from tasks.approval import undo_manual_change
from tasks.context import audit_info, limits, registry, server_folder
from tasks.emit_event import emit_event, emit_pending_events
from tasks.policies import uncached
from tasks.watch_switch import begin_watch

#: Of the entry's smoke prompts; a preflight slows the serving version down while it runs.
GOLDEN_PROMPTS = 6


def deployment(model: str) -> Deployment:
    """Return where ``model`` is served, and what a version must prove there."""
    settings = Settings()
    entry = catalogue.find(settings.catalogue, model)
    prompts = prompt_files.prompts_of(entry, settings.expectations)
    max_median_latency_ms = gates.limits_for(entry.gates, "fp32")["median_latency_ms"].max
    home = settings.home.resolve()
    return Deployment(
        model=model,
        folder=server_folder(model),
        locks=home / "locks",
        copies=CopyPlace.of(settings),
        limits=replace(limits(settings), timeout_seconds=settings.load_timeout_seconds),
        golden=GoldenPrompts(
            prompts=prompts[:GOLDEN_PROMPTS],
            answer=suites.schema(settings.expectations, "chat"),
            max_median_latency_ms=max_median_latency_ms or math.inf,
        ),
        drain_seconds=settings.serving_request_seconds,
        found_at=settings.serving_url,
        is_awaited=settings.serves(model),
        key=own_key(settings.home),
    )


def served_models() -> tuple[str, ...]:
    """Return the models whose server is running on this machine."""
    folders = sorted(Settings().server_folders.glob("*"))
    return tuple(folder.name for folder in folders if model_server.find(folder))


@contextmanager
def locked(model: str) -> Iterator[None]:
    """Wait until no other redeploy of ``model`` is running, here or in another process."""
    with deployment(model).locked():
        yield


@task(
    task_run_name="compare {model}",
    description="Compare the version that the server answers with to the registry's champion.",
    **uncached(timeout_seconds=600),
)
def compare(model: str) -> RedeployDecision:
    """Return what to do; a champion that was chosen by hand and may not stay is undone."""
    entry = catalogue.find(Settings().catalogue, model)
    if fault := undo_manual_change(entry):
        return NoChange(reason=f"{fault}; a promoter's reconcile undoes that")
    emit_pending_events(model)  # of a rejection that was killed after it had moved the alias
    decision = deployment(model).compare(champion_state(registry(), model))
    if isinstance(decision, Deploy):
        text = f"version {decision.serving} is serving, the champion is version {decision.version}"
    else:
        text = decision.reason
    get_run_logger().info(f"{model}: {text}")
    return decision


@task(
    task_run_name="preflight {model} v{candidate.version}",
    description="Start the candidate beside the serving version and check its golden prompts.",
    **uncached(),
)
def preflight(model: str, candidate: Deploy) -> SwitchResult:
    """Return how the candidate did in a server of its own."""
    return deployment(model).preflight(candidate)


@task(
    task_run_name="switch {model} to v{candidate.version}",
    description="Replace the server's workers one by one while it keeps answering requests.",
    cache_policy=NO_CACHE,
)
def switch(model: str, candidate: Deploy) -> SwitchResult:
    """Return how the switch ended; after a fault the previous version is served again."""
    place, version, before = deployment(model), candidate.version, candidate.serving
    is_watched = begin_watch(model, version, before)
    result = place.switch(candidate)
    failpoint("redeploy.after-switch")
    if result.fault is None:
        place.copies.remove_unused(model, keep={version, before})
        emit_event("redeployed", model, version=version, before=before)
        if is_watched:
            emit_event("watched", model, version=version, before=before)
    else:
        watch_record.end(place.folder)
    return result


@task(
    task_run_name="reject {model} v{candidate.version}",
    description="Quarantine a version and return the alias to the serving version.",
    **uncached(timeout_seconds=600),
)
def reject(model: str, candidate: Deploy | Reject, reason: str) -> DeployRejected:
    """Return the rejection once the registry records it."""
    version, serving = candidate.version, candidate.serving
    failpoint("redeploy.before-reject")
    change = registry().reject_champion(model, version, serving, audit_info(reason))
    failpoint("redeploy.after-reject")
    CopyPlace.of(Settings()).remove_unused(model, keep={serving})
    emit_pending_events(model)
    emit_event("quarantined", model, version=version, reason=reason)
    get_run_logger().warning(f"version {version} must not be served: {reason}")
    if change and change.after is None:
        advice = f"release another version, or run slipway rollback {model} --to VERSION"
        get_run_logger().error(
            f"{change.audit.reason}; version {serving} is still serving: {advice}"
        )
    return DeployRejected(model=model, version=version, serving=serving, reason=reason)
