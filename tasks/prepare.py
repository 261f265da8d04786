"""Weights → Attempts."""

from prefect import task

from slipway import steps
from slipway.values import Attempt, Recipe, Weights
from tasks.edge import workshop
from tasks.policies import DELAYS_SECONDS, Reporter, by_recipe, verified, worth_retrying


@verified
@task(
    task_run_name="prepare {weights.revision.name}",
    description="Quantize the weights in every way that the recipe lists, or take the published "
    "artifact. Cached by content.",
    cache_key_fn=by_recipe,
    persist_result=True,
    retries=2,
    retry_delay_seconds=DELAYS_SECONDS[:2],
    retry_condition_fn=worth_retrying,
    timeout_seconds=12 * 3600,
)
def prepare(weights: Weights, recipe: Recipe) -> tuple[Attempt, ...]:
    """Return every candidate of ``recipe``, built of ``weights`` unless the store has it."""
    progress = Reporter("prepare", weights.revision.source.repo)
    return steps.prepare(weights, recipe, workshop(progress))
