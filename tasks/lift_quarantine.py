"""A quarantined release → a champion again, by somebody's explicit wish."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from slipway.errors import MoveRefused
from slipway.values import Entry, Release
from tasks.context import audit_info, registry
from tasks.emit_event import emit_pending_events
from tasks.policies import RETRIED


@task(
    task_run_name="lift {entry.name} {key:.8}",
    description="Compare the version's bytes, lift its quarantine and let it serve.",
    cache_policy=NO_CACHE,
    **RETRIED,
    timeout_seconds=900,
)
def lift(entry: Entry, key: str, reason: str | None) -> Release | None:
    """Return the release that serves again; None if none with this key is quarantined.

    Raises:
        MoveRefused: If nobody says why.
    """
    if not (reason or "").strip():
        advice = "give one, with --reason TEXT or in the form"
        raise MoveRefused(entry.name, "lifting a quarantine needs a reason", advice)
    lifted = registry().lift(entry.name, key, audit_info(f"quarantine lifted: {reason}"))
    emit_pending_events(entry.name)
    return lifted
