"""Evaluations → Evaluations, with what was reached on the entry's tasks."""

from prefect import task

from slipway.evaluation import gates, task_evaluation
from slipway.settings import Settings
from slipway.values import Champion, Entry, Evaluation, Weights
from tasks.context import workspace
from tasks.inform import Reporter
from tasks.policies import uncached


@task(
    task_run_name="run tasks on {entry.name}",
    description="Run the entry's tasks on the source and on every candidate that passes its other "
    "gates. What was reached is kept in the store.",
    **uncached(timeout_seconds=24 * 3600),
)
def run_tasks(
    entry: Entry, weights: Weights, evaluations: tuple[Evaluation, ...], champion: Champion | None
) -> tuple[Evaluation, ...]:
    """Return the evaluations with what the candidates reached, where there are tasks."""
    others = entry.model_copy(update={"tasks": {}})
    passing = tuple(
        each.evaluation
        for each in gates.score_all(others, weights, evaluations, champion)
        if each.passes and each.evaluation.runs_here
    )
    if not passing:
        return evaluations
    settings = Settings()
    found = task_evaluation.measure(
        entry.tasks,
        weights,
        passing,
        task_evaluation.TaskFolders.of(settings.expectations, settings.home),
        workspace(Reporter("tasks", entry.name)),
    )
    by_variant = {each.variant: each for each in found}
    return tuple(by_variant.get(each.variant, each) for each in evaluations)
