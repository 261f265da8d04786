"""Revision → Weights."""

from prefect import task

from slipway.sources import checkpoint
from slipway.values import Revision, Weights
from tasks.context import workspace
from tasks.inform import Reporter
from tasks.policies import by_revision, cached, verified


def download(revision: Revision) -> Weights:
    """Return the checkpoint of ``revision``; what was stored of another commit has its files."""
    return _download(revision).model_copy(update={"revision": revision})


@verified
@task(
    task_run_name="download {revision.name}",
    description="Download the checkpoint and verify every file. Cached by content.",
    **cached(by_revision, timeout_seconds=6 * 3600),
)
def _download(revision: Revision) -> Weights:
    """Return the checkpoint of ``revision``, downloaded unless the store has it."""
    progress = Reporter("download", revision.source.repo)
    return checkpoint.download(revision, workspace(progress))
