"""Entry → Revision."""

from prefect import task

from slipway.evaluation import targets, task_evaluation
from slipway.settings import Settings
from slipway.sources import checkpoint
from slipway.values import Entry, Revision
from tasks.policies import uncached


@task(
    task_run_name="resolve {entry.source.repo}",
    description="Pin the commit that the source's ref names now. Never cached: a branch moves.",
    **uncached(timeout_seconds=600),
)
def resolve(entry: Entry) -> Revision:
    """Return the revision that the entry's source has now, with a license that is allowed.

    A recipe for a device that this machine has not, and tasks without the library that runs them,
    are refused here, before any download.
    """
    targets.require(entry)
    task_evaluation.require(entry, Settings().expectations)
    return checkpoint.resolve(entry)
