"""Attempts → Trials."""

from prefect import task

from slipway import trials
from slipway.values import Attempt, Entry, Trial, Weights
from tasks.edge import texts, workshop
from tasks.policies import RETRIED, Reporter, by_candidates, verified


@verified
@task(
    task_run_name="measure {entry.name}",
    description="Hold every candidate against its source on the same texts, and time them in turn. "
    "Cached by content.",
    cache_key_fn=by_candidates,
    persist_result=True,
    **RETRIED,
    timeout_seconds=6 * 3600,
)
def measure(entry: Entry, weights: Weights, attempts: tuple[Attempt, ...]) -> tuple[Trial, ...]:
    """Return how close every candidate is to its source, how fast and how large."""
    progress = Reporter("measure", entry.name)
    return trials.run(weights, attempts, texts(entry), workshop(progress))
