"""What was left undone → done: for the schedule that compares the registry with its record."""

from prefect import get_run_logger, task

from slipway.values import Entry
from tasks.approval import apply_answer, ask_again, roll_back_dead, undo_manual_change
from tasks.context import registry
from tasks.emit_event import emit_pending_events
from tasks.policies import uncached


@task(
    task_run_name="recover {entry.name}",
    description="Roll back a half-done alias change, carry out answers, ask for missing ones, undo "
    "or record changes by hand, keep roles, send pending events.",
    **uncached(timeout_seconds=900),
)
def recover(entry: Entry) -> None:
    """Bring the registry's record of one model up to date; a second time it does nothing.

    Somebody who may not promote leaves that to others.
    """
    models, model = registry(), entry.name
    if not models.may_promote:
        return
    for taken in models.apply_roles(model):
        get_run_logger().warning(f"{model}: {taken}")
    roll_back_dead(model)
    apply_answer(entry)
    ask_again(model)
    undo_manual_change(entry)
    if change := models.record_manual_change(model):
        get_run_logger().warning(f"{model}: version {change.after} was made champion by hand")
    emit_pending_events(model)
