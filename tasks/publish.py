"""Everything about a release → a ReleaseSummary, published where people read it."""

import base64
import json

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from slipway import report
from slipway.report import changes
from slipway.settings import Settings, toolchain
from slipway.tracking import manifest as manifest_module
from slipway.tracking import read_run, write_run
from slipway.values import (
    Champion,
    Decision,
    Entry,
    RegisteredVersions,
    ReleaseSummary,
    Selection,
    SmokeReport,
    Weights,
)
from tasks.context import flow_run_url, location
from tasks.policies import RETRIED


@task(
    task_run_name="publish {versions.model} v{versions.onnx.version}",
    description="Write the report to MLflow and to this run's artifacts.",
    cache_policy=NO_CACHE,
    **RETRIED,
    timeout_seconds=900,
)
def publish(  # noqa: PLR0913 - a summary is made of all of them
    *,
    entry: Entry,
    weights: Weights,
    selection: Selection,
    versions: RegisteredVersions,
    smoke_report: SmokeReport,
    decision: Decision,
    champion: Champion | None,
) -> ReleaseSummary:
    """Return the summary, once its report is in the MLflow run and in the Prefect UI."""
    settings = Settings()
    where = location(settings)
    manifest = manifest_module.of(weights, selection.artifact, toolchain())
    before = read_run.manifest(champion.run_id, where) if champion else None
    summary = ReleaseSummary(
        entry=entry,
        weights=weights,
        selection=selection,
        versions=versions,
        report=smoke_report,
        verdict=decision.verdict,
        gates=decision.gates,
        champion=champion.version if champion else None,
        changes=changes.since(before, manifest) if champion else (),
        flow_run_url=flow_run_url(),
        mlflow_url=write_run.page(settings.mlflow_url, versions.run_id, where),
    )
    files = {
        "picture.png": report.picture(summary),
        "report.md": report.markdown(summary, _picture_address(summary)).encode(),
        write_run.PREDICTIONS: json.dumps(report.predictions(summary), ensure_ascii=False).encode(),
    }
    write_run.publish(
        summary, manifest, where, files=files, description=report.description(summary)
    )
    _show(summary)
    return summary


def _picture_address(summary: ReleaseSummary) -> str:
    """Return the plot's address on the server: MLflow's page does not show relative addresses."""
    server = summary.mlflow_url.partition("/#/")[0]
    return f"{server}/get-artifact?run_uuid={summary.versions.run_id}&path=picture.png"


def _show(summary: ReleaseSummary) -> None:
    """Put the report among the flow run's artifacts."""
    entry, picture = summary.entry, base64.b64encode(report.picture(summary)).decode()
    create_markdown_artifact(
        report.markdown(summary, f"data:image/png;base64,{picture}"),
        key=f"release-report-{entry.name.replace('.', '-')}",
        description=f"{entry.title}: {summary.verdict.kind}",
    )
