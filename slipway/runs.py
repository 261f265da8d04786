"""The adapter of MLflow's runs: what a release shows there.

A release is one run; each of its candidates is a run below it, so that MLflow's compare view holds
them side by side. Writing the same again changes nothing.
"""

import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slipway import report
from slipway.tracking import Place, connect
from slipway.values import Contender, Dossier, Manifest, QuantizeRecipe, Recipe

PARENT, CONTENDER, VERDICT, REASONS = (
    "mlflow.parentRunId",
    "slipway.contender",
    "slipway.verdict",
    "slipway.reasons",
)
MANIFEST, PREDICTIONS, GATES = "manifest.json", "predictions.json", "gates.json"
TAG_CHARACTERS = 5_000
#: Without this tag, MLflow's page shows a table as a file.
TABLES = {"mlflow.loggedArtifacts": json.dumps([{"path": PREDICTIONS, "type": "table"}])}


def publish(dossier: Dossier, manifest: Manifest, place: Place) -> None:
    """Put a release's report, answers, figures and manifest into its run, and its candidates below.

    Args:
        dossier: Everything about the release.
        manifest: What it is made of.
        place: Where MLflow keeps things.
    """
    connect(place)
    from mlflow import MlflowClient

    client = MlflowClient()
    run = client.get_run(dossier.candidate.run_id)
    with tempfile.TemporaryDirectory() as room:
        _write_files(Path(room), dossier, manifest)
        client.log_artifacts(run.info.run_id, room)
    tags = {"mlflow.note.content": report.description(dossier), **TABLES}
    _write(client, run, metrics=report.metrics(dossier), tags=tags)
    for contender in dossier.choice.contenders:
        _publish_contender(client, run, contender, dossier)


def page(server: str, run_id: str, place: Place) -> str:
    """Return where people see a run.

    Args:
        server: Address of the MLflow UI.
        run_id: The run.
        place: Where MLflow keeps things.
    """
    connect(place)
    from mlflow import MlflowClient

    experiment = MlflowClient().get_run(run_id).info.experiment_id
    return f"{server}/#/experiments/{experiment}/runs/{run_id}"


def _write_files(room: Path, dossier: Dossier, manifest: Manifest) -> None:
    (room / "picture.png").write_bytes(report.picture(dossier))
    table = report.predictions(dossier)
    rows = [list(row) for row in zip(*table.values(), strict=True)]
    gates = [gate.model_dump(mode="json") for gate in dossier.gates]
    texts = {
        "report.md": report.markdown(dossier, _picture_address(dossier)),
        MANIFEST: manifest.model_dump_json(indent=2),
        PREDICTIONS: json.dumps({"columns": list(table), "data": rows}, ensure_ascii=False),
        GATES: json.dumps(gates, indent=2),
    }
    for name, text in texts.items():
        (room / name).write_text(text, encoding="utf-8")


def _picture_address(dossier: Dossier) -> str:
    """Return the picture on the server, since MLflow's page shows none by its file name."""
    server = dossier.mlflow_url.partition("/#/")[0]
    return f"{server}/get-artifact?run_uuid={dossier.candidate.run_id}&path=picture.png"


def _publish_contender(client: Any, parent: Any, contender: Contender, dossier: Dossier) -> None:
    """Write one candidate into a run below the release's."""
    trial = contender.trial
    state, reason = report.standing(contender, dossier.choice)
    run = _run_below(client, parent, trial.variant)
    _write(
        client,
        run,
        metrics=report.trial_metrics(trial),
        params=_parameters(trial.variant, dossier.entry.recipe),
        tags={VERDICT: state, REASONS: reason[:TAG_CHARACTERS]},
    )
    ended = "FAILED" if trial.attempt.artifact is None else "FINISHED"
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
            tags={PARENT: parent.info.run_id, CONTENDER: variant, "mlflow.source.name": "slipway"},
        )
        found = _below(client, parent, variant)
    first, *doubles = found
    for double in doubles:
        client.delete_run(double.info.run_id)
    return first


def _below(client: Any, parent: Any, variant: str) -> list[Any]:
    filters = f"tags.`{PARENT}` = '{parent.info.run_id}' AND tags.`{CONTENDER}` = '{variant}'"
    return list(
        client.search_runs(
            [parent.info.experiment_id], filters, order_by=["attributes.start_time ASC"]
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


def _parameters(variant: str, recipe: Recipe) -> dict[str, str]:
    """Return how a candidate is made, one parameter for each setting."""
    how: Any = recipe
    if isinstance(recipe, QuantizeRecipe):
        how = next(each for each in recipe.candidates if each.variant == variant)
    settings = how.model_dump(mode="json", exclude_none=True)
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in settings.items()
    }
