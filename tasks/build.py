"""Weights → BuildResults."""

from prefect import task

from slipway.build import artifacts
from slipway.values import BuildResult, Recipe, Weights
from tasks.context import calibration, workspace
from tasks.inform import Reporter
from tasks.policies import by_recipe, cached, verified


@verified
@task(
    task_run_name="build {weights.revision.name}",
    description="Build every candidate of the recipe, or take the published "
    "artifact. Cached by content.",
    **cached(by_recipe, timeout_seconds=12 * 3600),
)
def build(weights: Weights, recipe: Recipe) -> tuple[BuildResult, ...]:
    """Return every candidate of ``recipe``, built from ``weights`` unless the store has it."""
    reporter = Reporter("build", weights.revision.source.repo)
    return artifacts.build(weights, recipe, workspace(reporter), calibration(recipe))
