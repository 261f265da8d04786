"""A search recipe → the candidates that were found."""

from prefect import task

from slipway.evaluation import search as search_module
from slipway.values import Entry, Weights
from tasks.context import calibration, texts, workspace
from tasks.inform import Reporter
from tasks.policies import uncached


@task(
    task_run_name="search {entry.name}",
    description="Build artifacts between int4 and int8 until the smallest that keeps the limit is "
    "found. What was built and measured is kept in the store.",
    **uncached(timeout_seconds=24 * 3600),
)
def search(entry: Entry, weights: Weights) -> Entry:
    """Return the entry with the candidates that its search found, the best first."""
    place = workspace(Reporter("search", entry.name))
    return search_module.find(entry, weights, texts(entry), place, calibration(entry.recipe))
