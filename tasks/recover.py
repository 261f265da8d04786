"""What was left undone → done: for the schedule that compares what is with what should be."""

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from slipway.values import Entry
from tasks.approval import settle_approval
from tasks.context import registry
from tasks.emit_event import emit_pending_events
from tasks.policies import RETRIED


@task(
    task_run_name="settle {entry.name}",
    description="Undo half a move, carry out answers, record moves by hand, send events.",
    cache_policy=NO_CACHE,
    **RETRIED,
    timeout_seconds=900,
)
def recover(entry: Entry) -> None:
    """Bring the registry's record of one model up to date; a second time it does nothing."""
    models = registry()
    models.settle(entry.name)
    settle_approval(entry)
    if move := models.note_hand_move(entry.name):
        get_run_logger().warning(f"{entry.name}: version {move.after} was made champion by hand")
    emit_pending_events(entry.name)
