"""A champion that failed → the one of before."""

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from slipway.values import AliasChange, Entry
from tasks.context import asked_at, audit_info, registry
from tasks.emit_event import emit_event, emit_pending_events
from tasks.policies import RETRIED


@task(
    task_run_name="roll back {entry.name}",
    description="Compare the target's bytes, swap the aliases of both models, quarantine.",
    cache_policy=NO_CACHE,
    **RETRIED,
    timeout_seconds=900,
)
def swap_back(entry: Entry, failed: int | None, to: int | None, reason: str) -> AliasChange:
    """Return the rollback as it was recorded; what is taken out is what the asker saw fail."""
    models = registry()
    failed = failed or models.champion_at(entry.name, asked_at())
    move = models.roll_back(entry.name, to, audit_info(reason), failed)
    get_run_logger().info(f"champion is version {move.after}; {move.before} is quarantined")
    emit_pending_events(entry.name)
    emit_event("quarantined", entry.name, version=move.before, reason=reason, move=move.run_id)
    return move
