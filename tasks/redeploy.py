"""What serves ↔ what the alias names: the steps of a redeploy, one task each."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from slipway import catalogue
from slipway.checks import suites
from slipway.evaluation import gates
from slipway.redeploy import (
    Deploy,
    Deployment,
    DeployRejected,
    GoldenPrompts,
    RedeployDecision,
    Reject,
    SwitchResult,
    deploy,
    model_server,
    registry_state,
)
from slipway.settings import Settings
from tasks.context import audit_info, limits, registry
from tasks.emit_event import emit_event, emit_pending_events
from tasks.policies import RETRIED

#: Of the entry's smoke prompts; a trial runs beside what serves, and takes from its speed.
GOLDEN_PROMPTS = 6


def deployment(model: str) -> Deployment:
    """Return where ``model`` is served, and what a candidate must show there."""
    settings = Settings()
    entry = catalogue.find(settings.catalogue, model)
    prompts = suites.load_prompts(settings.expectations / "prompts" / f"{entry.suite}.json")
    slowest = gates.limits_for(entry.gates, "fp32")["median_latency_ms"].max
    home = settings.home.resolve()
    return Deployment(
        model=model,
        folder=home / "serving" / model,
        locks=home / "locks",
        limits=replace(limits(settings), timeout_seconds=settings.load_timeout_seconds),
        golden=GoldenPrompts(
            prompts=prompts[:GOLDEN_PROMPTS],
            answer=suites.schema(settings.expectations, "chat"),
            max_median_latency_ms=slowest or math.inf,
        ),
        drain_seconds=settings.serving_request_seconds,
    )


def served_models() -> tuple[str, ...]:
    """Return the models of which a server runs on this machine."""
    folders = sorted((Settings().home.resolve() / "serving").glob("*"))
    return tuple(folder.name for folder in folders if model_server.find(folder))


@contextmanager
def alone(model: str) -> Iterator[None]:
    """Wait until no other redeploy of ``model`` is at work, here or in another process."""
    with deployment(model).alone():
        yield


@task(
    task_run_name="compare {model}",
    description="Ask the server which version answers, and the registry which one should.",
    cache_policy=NO_CACHE,
    **RETRIED,
    timeout_seconds=600,
)
def compare(model: str) -> RedeployDecision:
    """Return what is to be done, after asking both."""
    decision = deployment(model).compare(registry_state.wanted(registry(), model))
    get_run_logger().info(f"{model}: {_words(decision)}")
    return decision


def _words(decision: RedeployDecision) -> str:
    if isinstance(decision, Deploy):
        return f"version {decision.serving} serves, the champion is version {decision.version}"
    return decision.reason


@task(
    task_run_name="rehearse {model} v{candidate.version}",
    description="Start the candidate beside what serves, and ask it golden prompts over HTTP.",
    cache_policy=NO_CACHE,
    **RETRIED,
)
def preflight(model: str, candidate: Deploy) -> SwitchResult:
    """Return how the candidate did in a server of its own."""
    return deployment(model).rehearse(candidate.version, candidate.size_bytes)


@task(
    task_run_name="switch {model} to v{candidate.version}",
    description="Replace the server's workers one by one, while requests keep coming.",
    cache_policy=NO_CACHE,
)
def switch(model: str, candidate: Deploy) -> SwitchResult:
    """Return how the switch went; if there was a fault, what served before serves again."""
    place = deployment(model)
    outcome = deploy(place.rolling(candidate.serving), candidate.version)
    if outcome.fault is None:
        place.keep_copies(candidate.version, candidate.serving)
        emit_event("redeployed", model, version=candidate.version, before=candidate.serving)
    return outcome


@task(
    task_run_name="put {model} back to v{candidate.serving}",
    description="Quarantine a version that must not serve; the alias returns to what serves.",
    cache_policy=NO_CACHE,
    **RETRIED,
    timeout_seconds=600,
)
def put_back(model: str, candidate: Deploy | Reject, reason: str) -> DeployRejected:
    """Return the refusal, once the registry says again what is true."""
    move = registry().refuse(model, candidate.version, candidate.serving, audit_info(reason))
    deployment(model).keep_copies(candidate.serving)
    emit_pending_events(model)
    emit_event("quarantined", model, version=candidate.version, reason=reason)
    get_run_logger().warning(f"version {candidate.version} must not serve: {reason}")
    if move and move.after is None:
        advice = f"release another, or slipway rollback {model} --to VERSION"
        get_run_logger().error(
            f"{move.cause.reason}; version {candidate.serving} serves on: {advice}"
        )
    return DeployRejected(
        model=model, version=candidate.version, serving=candidate.serving, reason=reason
    )
