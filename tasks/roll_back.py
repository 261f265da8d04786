"""A champion that failed → the one of before."""

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from slipway.values import Entry, Move
from tasks.announce import announce, announce_pending
from tasks.edge import asked_at, cause, registry
from tasks.policies import RETRIED


@task(
    task_run_name="roll back {entry.name}",
    description="Compare the target's bytes, swap the aliases of both models, quarantine.",
    cache_policy=NO_CACHE,
    **RETRIED,
    timeout_seconds=900,
)
def swap_back(entry: Entry, failed: int | None, to: int | None, reason: str) -> Move:
    """Return the rollback as it was recorded; what is taken out is what the asker saw fail."""
    models = registry()
    failed = failed or models.champion_at(entry.name, asked_at())
    move = models.roll_back(entry.name, to, cause(reason), failed)
    get_run_logger().info(f"champion is version {move.after}; {move.before} is quarantined")
    announce_pending(entry.name)
    announce("quarantined", entry.name, version=move.before, reason=reason, move=move.run_id)
    return move
