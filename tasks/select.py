"""Trials → Choice."""

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from slipway.evaluation import gates
from slipway.evaluation import selection as decide
from slipway.values import Champion, Entry, Estimate, Evaluation, Figures, Selection, Weights


@task(
    task_run_name="choose for {entry.name}",
    description="Weigh every candidate against the gates, and take the preferred one that passes.",
    cache_policy=NO_CACHE,
)
def select(
    entry: Entry, weights: Weights, evaluations: tuple[Evaluation, ...], champion: Champion | None
) -> Selection:
    """Return the candidate that goes on, and what the gates said of each."""
    source: Figures = {"size_bytes": Estimate.exact(weights.stored.size_bytes)}
    serving = champion.figures if champion else None
    candidates = [
        gates.score(evaluation, entry.gates, source=source, champion=serving)
        for evaluation in evaluations
    ]
    prefer = entry.recipe.prefer if entry.recipe.kind == "quantize" else "first"
    choice = decide.select(candidates, prefer)
    get_run_logger().info(f"{choice.variant}: {choice.reason}")
    return choice
