"""Reads what releases wrote into their MLflow runs."""

import json
import tempfile
from pathlib import Path
from typing import Any

from slipway.errors import SourceMissing
from slipway.tracking import format_1
from slipway.tracking.location import MlflowLocation, connect
from slipway.tracking.metrics import figures_of
from slipway.tracking.tag_values import Outcome
from slipway.tracking.tags import CANDIDATE, KEY, VARIANT
from slipway.tracking.write_run import GATES, MANIFEST, PREDICTIONS, below
from slipway.values import GateResult, Manifest, ReleaseRecord


def run_of(name: str, version: int, location: MlflowLocation) -> str:
    """Return the run that made one version of the registered model ``name``.

    Raises:
        SourceMissing: If there is no such version.
    """
    found = {int(each.version): str(each.run_id) for each in _versions(name, location)}
    if version not in found:
        there = ", ".join(map(str, sorted(found))) or "none"
        raise SourceMissing(f"version {version} of {name}", f"there are these versions: {there}")
    return found[version]


def versions(name: str, location: MlflowLocation) -> tuple[int, ...]:
    """Return the numbers of every registered version, in order."""
    return tuple(sorted(int(each.version) for each in _versions(name, location)))


def last_release(model: str, location: MlflowLocation) -> str | None:
    """Return the latest run of a release, promoted or not; None without any."""
    client = connect(location)
    experiment = client.get_experiment_by_name(model)
    if experiment is None:
        return None
    runs = client.search_runs(
        [experiment.experiment_id],
        f"tags.`{KEY}` LIKE '%'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    return str(runs[0].info.run_id) if runs else None


def manifest(run_id: str, location: MlflowLocation) -> Manifest | None:
    """Return what a release was made of; None if it has no manifest."""
    text = _read(connect(location), run_id, MANIFEST)
    return Manifest.model_validate(format_1.upgrade_manifest(json.loads(text))) if text else None


def release(run_id: str, name: str, location: MlflowLocation) -> ReleaseRecord:
    """Return what the run of a release says of it; ``name`` is how people call the release."""
    client = connect(location)
    gates = json.loads(_read(client, run_id, GATES) or "[]")
    return _record(client.get_run(run_id), name).model_copy(
        update={
            "gates": tuple(GateResult.model_validate(gate) for gate in gates),
            "manifest": manifest(run_id, location),
            "answers": _answers(client, run_id),
        }
    )


def artifact(run_id: str, name: str, location: MlflowLocation) -> str:
    """Return a text that a release wrote into its run.

    Raises:
        SourceMissing: If its release, an older one, did not write it.
    """
    text = _read(connect(location), run_id, name)
    if text is None:
        advice = "an earlier version made this release; release the model again with --force"
        raise SourceMissing(f"{name} of MLflow run {run_id}", advice)
    return text


def candidates(run_id: str, location: MlflowLocation) -> tuple[ReleaseRecord, ...]:
    """Return what was measured of every candidate of a release, as they were written."""
    client = connect(location)
    records = (_record(run, "") for run in below(client, client.get_run(run_id)))
    return tuple(
        record.model_copy(update={"name": record.variant}) for record in records if record.variant
    )


def _versions(name: str, location: MlflowLocation) -> list[Any]:
    return list(connect(location).search_model_versions(f"name = '{name}'"))


def _record(run: Any, name: str) -> ReleaseRecord:
    tags, outcome = format_1.upgrade(run.data.tags), Outcome.from_tags(run.data.tags)
    return ReleaseRecord(
        name=name,
        run_id=run.info.run_id,
        variant=tags.get(CANDIDATE) or tags.get(VARIANT, ""),
        verdict=outcome.verdict,
        reasons=outcome.reasons,
        figures=figures_of(run.data.tags, run.data.metrics),
    )


def _answers(client: Any, run_id: str) -> dict[str, str]:
    table = json.loads(_read(client, run_id, PREDICTIONS) or '{"columns": [], "data": []}')
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    return {
        row["prompt_id"]: str(row["error"] or row["answer"])
        for row in rows
        if row["wrapper"] == "onnx"
    }


def _read(client: Any, run_id: str, path: str) -> str | None:
    """Return an artifact of a run as text; None if it is not there."""
    if path not in {each.path for each in client.list_artifacts(run_id)}:
        return None
    with tempfile.TemporaryDirectory() as room:
        return Path(client.download_artifacts(run_id, path, room)).read_text(encoding="utf-8")
