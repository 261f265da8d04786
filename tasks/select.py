"""Evaluations → Selection."""

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from slipway.evaluation import gates
from slipway.evaluation import selection as selection_module
from slipway.values import Champion, Entry, Estimate, Evaluation, Figures, Selection, Weights


@task(
    task_run_name="select for {entry.name}",
    description="Compare every candidate with the gates; take the preferred one that passes.",
    cache_policy=NO_CACHE,
)
def select(
    entry: Entry, weights: Weights, evaluations: tuple[Evaluation, ...], champion: Champion | None
) -> Selection:
    """Return the candidate that goes on, and the results of every candidate's gates."""
    source: Figures = {"size_bytes": Estimate.exact(weights.stored.size_bytes)}
    serving = champion.figures if champion else None
    candidates = [
        gates.score(evaluation, entry.gates, source=source, champion=serving)
        for evaluation in evaluations
    ]
    prefer = entry.recipe.prefer if entry.recipe.kind == "quantize" else "first"
    selection = selection_module.select(candidates, prefer)
    get_run_logger().info(f"{selection.variant}: {selection.reason}")
    return selection
