"""Everything about a release → a ReleaseSummary, published in MLflow and Prefect."""

import base64
import json

from prefect import task
from prefect.artifacts import create_markdown_artifact

from slipway.checks import prompt_files
from slipway.libraries import toolchain
from slipway.report import answers, comparison, document, junit, plot
from slipway.report.markdown import escape
from slipway.settings import Settings
from slipway.system.failpoints import failpoint
from slipway.tracking import manifest as manifest_module
from slipway.tracking import read_run, traces, write_run
from slipway.tracking.location import mlflow_location
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
from tasks.context import flow_run_url
from tasks.inform import informing
from tasks.policies import uncached

PLOT = "picture.png"


@task(
    task_run_name="publish {versions.model} v{versions.onnx.version}",
    description="Write the report to MLflow and to this run's artifacts.",
    **uncached(timeout_seconds=900),
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
    where = mlflow_location(settings)
    manifest = manifest_module.of(weights, selection.artifact, toolchain())
    run_id = champion.run_id if champion else None
    before = read_run.manifest(run_id, where) if run_id else None
    summary = ReleaseSummary(
        entry=entry,
        weights=weights,
        selection=selection,
        versions=versions,
        report=smoke_report,
        verdict=decision.verdict,
        gates=decision.gates,
        champion=champion.version if champion else None,
        changes=comparison.manifest_changes(before, manifest) if champion else (),
        flow_run_url=flow_run_url(),
        mlflow_url=write_run.page(settings.mlflow_pages, versions.run_id, where),
        chat_url=settings.chat_page(entry.name),
    )
    image = plot.png(summary)
    report = document.markdown(summary, _plot_address(summary), shown_in="mlflow")
    predictions = json.dumps(answers.predictions(summary), ensure_ascii=False)
    files = {
        PLOT: image,
        write_run.REPORT: report.encode(),
        write_run.JUNIT: junit.xml(summary),
        write_run.PREDICTIONS: predictions.encode(),
    }
    text = document.description(summary)
    write_run.publish(summary, manifest, where, files=files, description=text)
    prompts = prompt_files.prompts_of(entry, settings.expectations)
    failpoint("publish.before-traces")
    with informing("the answers", server="MLflow"):
        traces.log(versions.run_id, smoke_report.wrappers, prompts, where)
    failpoint("publish.after-traces")
    with informing("the report"):
        create_markdown_artifact(
            document.markdown(summary, _inline(image), shown_in="prefect"),
            key=f"release-report-{entry.name.replace('.', '-')}",
            description=escape(f"{entry.title}: {summary.verdict.kind}"),
        )
    return summary


def _inline(image: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(image).decode()}"


def _plot_address(summary: ReleaseSummary) -> str:
    """Return the plot's address on the server: MLflow's page does not show relative addresses."""
    server = summary.mlflow_url.partition("/#/")[0]
    return f"{server}/get-artifact?run_uuid={summary.versions.run_id}&path={PLOT}"
