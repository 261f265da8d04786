"""Revision → Weights."""

from prefect import task

from slipway.sources import checkpoint
from slipway.values import Revision, Weights
from tasks.context import workspace
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
    return checkpoint.download(revision, workspace(progress))
