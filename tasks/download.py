"""Revision → Weights."""

from prefect import task

from slipway import steps
from slipway.values import Revision, Weights
from tasks.edge import workshop
from tasks.policies import RETRIED, Reporter, by_revision, verified


@verified
@task(
    task_run_name="download {revision.name}",
    description="Fetch the checkpoint and check every file. Cached by content.",
    cache_key_fn=by_revision,
    persist_result=True,
    **RETRIED,
    timeout_seconds=6 * 3600,
)
def download(revision: Revision) -> Weights:
    """Return the checkpoint of ``revision``, fetched unless the store has it."""
    progress = Reporter("download", revision.source.repo)
    return steps.download(revision, workshop(progress))
