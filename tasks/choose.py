"""Trials → Choice."""

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from slipway import choose as decide
from slipway import gates
from slipway.values import Champion, Choice, Entry, Estimate, Figures, Trial, Weights


@task(
    task_run_name="choose for {entry.name}",
    description="Weigh every candidate against the gates, and take the preferred one that passes.",
    cache_policy=NO_CACHE,
)
def choose(
    entry: Entry, weights: Weights, trials: tuple[Trial, ...], champion: Champion | None
) -> Choice:
    """Return the candidate that goes on, and what the gates said of each."""
    source: Figures = {"size_bytes": Estimate.exact(weights.stored.size_bytes)}
    serving = champion.figures if champion else None
    contenders = [
        gates.contender(trial, entry.gates, source=source, champion=serving) for trial in trials
    ]
    prefer = entry.recipe.prefer if entry.recipe.kind == "quantize" else "first"
    choice = decide.candidate(contenders, prefer)
    get_run_logger().info(f"{choice.variant}: {choice.reason}")
    return choice
