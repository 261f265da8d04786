"""A quarantined release → a champion again, since somebody asks for it."""

from prefect import task

from slipway.errors import MoveRefused
from slipway.values import Release
from tasks.context import audit_info, registry
from tasks.emit_event import emit_pending_events
from tasks.policies import uncached


@task(
    task_run_name="lift the quarantine of {model} {key:.8}",
    description="Compare the version's files with what was released, and make it champion again.",
    **uncached(timeout_seconds=900),
)
def lift(model: str, key: str, reason: str | None) -> Release | None:
    """Return the release that serves again; None if none with this key is quarantined.

    Raises:
        MoveRefused: If nobody says why.
    """
    require_reason(model, reason)
    lifted = registry().lift_quarantine(model, key, audit_info(f"quarantine lifted: {reason}"))
    emit_pending_events(model)
    return lifted


def require_reason(model: str, reason: str | None) -> None:
    """Refuse to lift a quarantine if nobody says why.

    Raises:
        MoveRefused: If there is no reason.
    """
    if not (reason or "").strip():
        advice = "give one, with --reason TEXT or in the form"
        raise MoveRefused(model, "lifting a quarantine needs a reason", advice)
