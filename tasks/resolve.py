"""Entry → Revision."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from slipway.sources import checkpoint
from slipway.values import Entry, Revision
from tasks.policies import RETRIED


@task(
    task_run_name="resolve {entry.source.repo}",
    description="Pin what the source's ref names now. Never cached: a branch moves.",
    cache_policy=NO_CACHE,
    **RETRIED,
    timeout_seconds=600,
)
def resolve(entry: Entry) -> Revision:
    """Return the revision that the entry's source names now, with a license that is allowed."""
    return checkpoint.resolve(entry)
