"""Entry → Revision."""

from prefect import task

from slipway.sources import checkpoint
from slipway.values import Entry, Revision
from tasks.policies import uncached


@task(
    task_run_name="resolve {entry.source.repo}",
    description="Pin the commit that the source's ref names now. Never cached: a branch moves.",
    **uncached(timeout_seconds=600),
)
def resolve(entry: Entry) -> Revision:
    """Return the revision that the entry's source has now, with a license that is allowed."""
    return checkpoint.resolve(entry)
