"""BuildResults → Evaluations."""

from prefect import task

from slipway.evaluation import evaluate as evaluate_module
from slipway.settings import Settings
from slipway.values import BuildResult, Entry, Evaluation, Weights
from tasks.context import texts, workspace
from tasks.policies import RETRIED, Reporter, by_candidates, verified


@verified
@task(
    task_run_name="measure {entry.name}",
    description="Compare every candidate with its source on the same texts, and time them in turn. "
    "Cached by content.",
    cache_key_fn=by_candidates,
    persist_result=True,
    **RETRIED,
    timeout_seconds=6 * 3600,
)
def evaluate(
    entry: Entry, weights: Weights, built: tuple[BuildResult, ...]
) -> tuple[Evaluation, ...]:
    """Return how close every candidate is to its source, how fast and how large."""
    return evaluate_module.evaluate(
        weights,
        built,
        texts(entry),
        workspace(Reporter("measure", entry.name)),
        speed_rounds=Settings().speed_rounds,
    )
