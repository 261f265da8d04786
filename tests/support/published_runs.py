"""Releases that were published to a real MLflow store, without a model having been made."""

import json
from pathlib import Path
from typing import Any

from slipway.report import answers, document
from slipway.tracking import write_run
from slipway.tracking.location import MlflowLocation, connect, experiment_id
from slipway.tracking.tags import KEY, VARIANT
from slipway.values import Manifest, ReleaseSummary
from tests.support.findings import COMMIT
from tests.support.summaries import NAME, candidate

CATALOGUE = f"""\
[models.{NAME}]
title = "SmolLM2 135M Instruct"
source = {{ kind = "hub", repo = "HuggingFaceTB/SmolLM2-135M-Instruct" }}
recipe = {{ kind = "quantize", candidates = [{{ precision = "int8" }}] }}
licenses = ["apache-2.0"]
"""


def place(home: Path) -> MlflowLocation:
    """Return an MLflow store below ``home``, where the settings look for it."""
    return MlflowLocation(
        uri=f"sqlite:///{home / 'mlflow' / 'mlflow.db'}", artifacts=home / "mlflow" / "artifacts"
    )


def manifest(**changes: Any) -> Manifest:
    """Return what a release was made of."""
    fields = {
        "repo": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "commit": COMMIT,
        "license": "apache-2.0",
        "chat_template_digest": "ab" * 32,
        "variant": "cpu-int8",
        "settings": {"config.json: rope_theta": "10000"},
        "weights": {"model.safetensors": "02" * 32},
        "artifact": {"model.onnx": "03" * 32},
        "tools": {"transformers": "5.22.1"},
    }
    return Manifest(**fields | changes)


def open_run(where: MlflowLocation) -> str:
    """Return a new run of a release, as ``log_models.log`` leaves it."""
    client = connect(where)
    tags = {KEY: "cd" * 32, VARIANT: "cpu-int8-rtn-block-32-acc-level-4"}
    run = client.create_run(experiment_id(client, NAME, where), tags=tags)
    return str(run.info.run_id)


def published(where: MlflowLocation, summary: ReleaseSummary, made_of: Manifest) -> ReleaseSummary:
    """Return ``summary`` as a run of its own, with everything that a release shows in it."""
    placed = at(open_run(where), summary)
    publish(placed, made_of, where)
    return placed


def publish(summary: ReleaseSummary, made_of: Manifest, where: MlflowLocation) -> None:
    """Publish ``summary`` with its answers and its short report."""
    predictions = json.dumps(answers.predictions(summary)).encode()
    write_run.publish(
        summary,
        made_of,
        where,
        files={write_run.PREDICTIONS: predictions},
        description=document.description(summary),
    )


def at(run_id: str, summary: ReleaseSummary) -> ReleaseSummary:
    """Return ``summary`` as that of another run."""
    placed = candidate().model_copy(update={"run_id": run_id})
    return summary.model_copy(update={"versions": placed})


def register(where: MlflowLocation, run_id: str) -> int:
    """Return a new version of the model, made by this run."""
    from mlflow.exceptions import MlflowException

    client = connect(where)
    try:
        client.create_registered_model(NAME)
    except MlflowException as error:
        assert error.error_code == "RESOURCE_ALREADY_EXISTS"  # noqa: PT017 - any other is a fault
    source = client.get_run(run_id).info.artifact_uri
    return int(client.create_model_version(NAME, source, run_id=run_id).version)
