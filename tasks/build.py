"""Weights → BuildResults."""

from prefect import task

from slipway.build import artifacts
from slipway.values import BuildResult, Recipe, Weights
from tasks.context import workspace
from tasks.policies import RETRIED, Reporter, by_recipe, verified


@verified
@task(
    task_run_name="prepare {weights.revision.name}",
    description="Build every candidate of the recipe, or take the published "
    "artifact. Cached by content.",
    cache_key_fn=by_recipe,
    persist_result=True,
    **RETRIED,
    timeout_seconds=12 * 3600,
)
def build(weights: Weights, recipe: Recipe) -> tuple[BuildResult, ...]:
    """Return every candidate of ``recipe``, built from ``weights`` unless the store has it."""
    reporter = Reporter("prepare", weights.revision.source.repo)
    return artifacts.build(weights, recipe, workspace(reporter))
