"""What nothing needs any more → deleted, or listed."""

from datetime import UTC, datetime

from prefect import get_run_logger, task

from slipway.clean import clean_up
from slipway.clean.decision import leaving
from slipway.clean.listing import rows
from slipway.settings import Settings
from slipway.values import CleanDecision, Entry
from tasks.context import audit_info
from tasks.policies import uncached

#: For the record of what was deleted.
REASON = "retention of the catalogue"


@task(
    task_run_name="clean the home",
    description="Delete caches, logs and results that were not used for a while.",
    **uncached(timeout_seconds=3600),
)
def clean_home(*, dry_run: bool) -> tuple[CleanDecision, ...]:
    """Return what was deleted in the home of this machine, or would be."""
    at = datetime.now(UTC)
    plan = clean_up.plan_home(Settings(), at)
    return _logged(leaving(plan) if dry_run else clean_up.free_home(plan, at))


@task(
    task_run_name="clean {entry.name}",
    description="Delete versions, logged models and their files by the entry's retention.",
    **uncached(timeout_seconds=3600),
)
def clean_model(entry: Entry, *, dry_run: bool) -> tuple[CleanDecision, ...]:
    """Return what was deleted of a model in MLflow, or would be."""
    settings = Settings()
    plan = clean_up.plan_model(entry, settings, datetime.now(UTC))
    if dry_run:
        return _logged(leaving(plan))
    return _logged(clean_up.free_model(entry, plan, settings, audit_info(REASON)))


def _logged(gone: tuple[CleanDecision, ...]) -> tuple[CleanDecision, ...]:
    for row in rows(gone):
        get_run_logger().info(f"{row.kind} {row.name}: {row.freed_bytes:,} bytes; {row.reason}")
    return gone
