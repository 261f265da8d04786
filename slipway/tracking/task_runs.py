"""What models reached on tasks, as runs in the experiment ``<model>/evaluations``."""

from collections.abc import Mapping, Sequence

from slipway.evaluation.task_scores import TaskScore
from slipway.tracking import metrics as metrics_module
from slipway.tracking.location import MlflowLocation, connect, experiment_id
from slipway.values import TaskComparison


def write_task_run(  # noqa: PLR0913 - a run has that many parts
    model: str,
    variant: str,
    comparisons: Sequence[TaskComparison],
    *,
    scores: Mapping[str, Sequence[TaskScore]],
    facts: Mapping[str, str],
    location: MlflowLocation,
) -> str:
    """Write what one candidate reached into a run of its own; return the run's id.

    Args:
        model: Name of the catalogue's entry.
        variant: The candidate's.
        comparisons: Become metrics, ``<task>.<metric>`` and what belongs to it.
        scores: Each item's score by ``source`` and ``candidate``, for the artifact ``items.json``.
        facts: Become parameters.
        location: Where MLflow keeps things.
    """
    client = connect(location)
    experiment = experiment_id(client, f"{model}/evaluations", location)
    run = client.create_run(experiment, run_name=variant)
    run_id = str(run.info.run_id)
    for name, value in metrics_module.of_tasks(comparisons).items():
        client.log_metric(run_id, name, value)
    for name, text in {"variant": variant, **facts}.items():
        client.log_param(run_id, name, text)
    items = {
        who: {f"{each.task}.{each.metric}": each.items for each in several}
        for who, several in scores.items()
    }
    client.log_dict(run_id, items, "items.json")
    client.set_terminated(run_id)
    return run_id
