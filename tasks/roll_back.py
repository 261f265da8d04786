"""A champion that failed → the previous champion."""

from prefect import get_run_logger, task

from slipway.values import AliasChange
from tasks.context import asked_at, audit_info, registry
from tasks.emit_event import emit_event, emit_pending_events
from tasks.policies import uncached


@task(
    task_run_name="roll back {model}",
    description="Verify the target's files, swap the aliases of both models, quarantine.",
    **uncached(timeout_seconds=900),
)
def swap_back(model: str, failed: int | None, to: int | None, reason: str) -> AliasChange:
    """Return the rollback as it was recorded.

    Without ``failed``, the champion at the time of the request is taken out of service.
    """
    models = registry()
    failed = failed or models.champion_at(model, asked_at())
    change = models.roll_back(model, to, audit_info(reason), failed)
    announce(model, change, reason)
    return change


def announce(model: str, change: AliasChange, reason: str) -> None:
    """Log a rollback, and send its events."""
    get_run_logger().info(f"champion is version {change.after}")
    emit_pending_events(model)
    if change.before is not None:
        get_run_logger().info(f"version {change.before} is quarantined")
        emit_event("quarantined", model, version=change.before, reason=reason, move=change.run_id)
