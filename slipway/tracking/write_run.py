"""What a release shows in its MLflow run.

A release is one run; each of its candidates is a run below it, so that MLflow's compare view shows
them side by side. Writing the same again changes nothing.
"""

import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slipway.evaluation.outcome import candidate_outcome
from slipway.system.failpoints import failpoint
from slipway.tracking import format_1, pages
from slipway.tracking import metrics as metrics_module
from slipway.tracking.location import MlflowLocation, connect
from slipway.tracking.tag_values import Outcome
from slipway.tracking.tags import CANDIDATE, NOTE, PARENT, SOURCE_NAME, TABLES
from slipway.values import Manifest, QuantizeRecipe, ReleaseSummary, ScoredCandidate

MANIFEST, PREDICTIONS, GATES = "manifest.json", "predictions.json", "gates.json"
NUMBERS, JUNIT, REPORT = "figures.json", "junit.xml", "report.md"

#: Without this tag, MLflow's page shows a table as a file.
_SHOW_TABLE = {TABLES: json.dumps([{"path": PREDICTIONS, "type": "table"}])}


def publish(
    summary: ReleaseSummary,
    manifest: Manifest,
    location: MlflowLocation,
    *,
    files: Mapping[str, bytes],
    description: str,
) -> None:
    """Put a release's report, answers, figures and manifest into its run, and its candidates below.

    Args:
        summary: Everything about the release.
        manifest: What it is made of.
        location: The MLflow.
        files: The report's files by name, as ``slipway.report`` makes them.
        description: The report's short form, shown on the run's page.
    """
    client = connect(location)
    run = client.get_run(summary.versions.run_id)
    gates = [gate.model_dump(mode="json") for gate in summary.gates]
    documents = {
        MANIFEST: manifest.model_dump_json(indent=2).encode(),
        GATES: json.dumps(gates, indent=2).encode(),
        NUMBERS: json.dumps(metrics_module.numbers(summary), indent=2).encode(),
        **files,
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, content in documents.items():
            (Path(folder) / name).write_bytes(content)
        failpoint("publish.before-files")
        client.log_artifacts(run.info.run_id, folder)
        failpoint("publish.after-files")
    figures = metrics_module.figures(summary)
    reached = metrics_module.of_tasks(summary.selection.chosen.evaluation.task_comparisons)
    tags = {NOTE: description, **_SHOW_TABLE, **metrics_module.tags(figures)}
    _write(client, run, metrics=metrics_module.metrics(figures) | reached, tags=tags)
    failpoint("publish.after-figures")
    for candidate in summary.selection.candidates:
        _publish_candidate(client, run, candidate, summary)


def page(server: str, run_id: str, location: MlflowLocation) -> str:
    """Return the page of a run in the MLflow UI at ``server``."""
    experiment = connect(location).get_run(run_id).info.experiment_id
    return pages.run(server, str(experiment), run_id)


def _publish_candidate(
    client: Any, parent: Any, candidate: ScoredCandidate, summary: ReleaseSummary
) -> None:
    """Write one candidate into a run below the release's."""
    evaluation = candidate.evaluation
    state, reason = candidate_outcome(candidate, summary.selection)
    run = _run_below(client, parent, evaluation.variant)
    _write(
        client,
        run,
        metrics=metrics_module.metrics(evaluation.figures)
        | metrics_module.of_tasks(evaluation.task_comparisons),
        params=_parameters(evaluation.variant, summary),
        tags=Outcome(verdict=state, reasons=reason).to_tags()
        | metrics_module.tags(evaluation.figures),
    )
    ended = "FAILED" if evaluation.built.artifact is None else "FINISHED"
    client.set_terminated(run.info.run_id, ended)


def _run_below(client: Any, parent: Any, variant: str) -> Any:
    """Return the run of a candidate, found or created.

    MLflow's client repeats a creation whose answer was lost, so that doubles are removed.
    """
    found = _below(client, parent, variant)
    if not found:
        client.create_run(
            parent.info.experiment_id,
            run_name=variant,
            tags={PARENT: parent.info.run_id, CANDIDATE: variant, SOURCE_NAME: "slipway"},
        )
        failpoint("publish.after-candidate")
        found = _below(client, parent, variant)
    first, *doubles = found
    for double in doubles:
        client.delete_run(double.info.run_id)
    return first


def _below(client: Any, parent: Any, variant: str) -> list[Any]:
    runs = below(client, parent)
    return [run for run in runs if format_1.upgrade(run.data.tags).get(CANDIDATE) == variant]


def below(client: Any, parent: Any) -> list[Any]:
    """Return the runs of the candidates of a release, in the order in which they were written."""
    return list(
        client.search_runs(
            [parent.info.experiment_id],
            f"tags.`{PARENT}` = '{parent.info.run_id}'",
            order_by=["attributes.start_time ASC"],
        )
    )


def _write(
    client: Any,
    run: Any,
    *,
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
    params: Mapping[str, str] | None = None,
) -> None:
    """Write what is not there yet: a figure that was written twice would be drawn as a curve."""
    from mlflow.entities import Metric, Param, RunTag

    now_ms = int(time.time() * 1000)
    known = run.data.metrics
    client.log_batch(
        run.info.run_id,
        metrics=[
            Metric(name, value, now_ms, 0)
            for name, value in metrics.items()
            if known.get(name) != value
        ],
        params=[Param(name, value) for name, value in (params or {}).items()],
        tags=[RunTag(name, value) for name, value in tags.items()],
    )


def _parameters(variant: str, summary: ReleaseSummary) -> dict[str, str]:
    """Return how a candidate is made, one parameter for each setting."""
    recipe = summary.entry.recipe
    how: Any
    if isinstance(recipe, QuantizeRecipe):
        how = next(each for each in recipe.candidates if each.variant == variant)
    else:
        chosen = summary.weights.revision.published_variants.index(variant)
        how = recipe.model_copy(update={"candidates": (recipe.candidates[chosen],)})
    settings = how.model_dump(mode="json", exclude_none=True)
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in settings.items()
    }
