"""Evaluations → Selection."""

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from slipway.evaluation import gates
from slipway.evaluation import selection as selection_module
from slipway.values import Champion, Entry, Evaluation, Selection, Weights


@task(
    task_run_name="select for {entry.name}",
    description="Compare every candidate with the gates; take the preferred one that passes.",
    cache_policy=NO_CACHE,
)
def select(
    entry: Entry, weights: Weights, evaluations: tuple[Evaluation, ...], champion: Champion | None
) -> Selection:
    """Return the candidate that goes on, and the results of every candidate's gates."""
    candidates = gates.score_all(entry, weights, evaluations, champion)
    selection = selection_module.select(candidates, entry.recipe.prefer, entry.recipe.speed_weight)
    get_run_logger().info(f"{selection.variant}: {selection.reason}")
    return selection
