"""BuildResults → Evaluations."""

from prefect import task

from slipway.evaluation import evaluate as evaluate_module
from slipway.settings import Settings
from slipway.values import BuildResult, Entry, Evaluation, Weights
from tasks.context import texts, workspace
from tasks.inform import Reporter
from tasks.policies import by_candidates, cached, verified


@verified
@task(
    task_run_name="evaluate {entry.name}",
    description="Compare every candidate with its source on the same texts, and time them in turn. "
    "Cached by content.",
    **cached(by_candidates, timeout_seconds=6 * 3600),
)
def evaluate(
    entry: Entry, weights: Weights, built: tuple[BuildResult, ...]
) -> tuple[Evaluation, ...]:
    """Return how close every candidate is to its source, how fast and how large."""
    return evaluate_module.evaluate(
        weights,
        built,
        texts(entry),
        workspace(Reporter("evaluate", entry.name)),
        speed_rounds=Settings().speed_rounds,
    )
