"""Everything about a release → a Dossier, published where people read it."""

import base64

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from slipway import changes, manifests, records, report, runs
from slipway.settings import Settings, toolchain
from slipway.values import (
    Candidate,
    Champion,
    Choice,
    Dossier,
    Entry,
    Judgement,
    SmokeReport,
    Weights,
)
from tasks.edge import flow_run_url, place
from tasks.policies import RETRIED


@task(
    task_run_name="publish {candidate.model} v{candidate.onnx.version}",
    description="Write the report to MLflow and to this run's artifacts.",
    cache_policy=NO_CACHE,
    **RETRIED,
    timeout_seconds=900,
)
def publish(  # noqa: PLR0913 - a dossier is made of all of them
    *,
    entry: Entry,
    weights: Weights,
    choice: Choice,
    candidate: Candidate,
    smoke_report: SmokeReport,
    judgement: Judgement,
    champion: Champion | None,
) -> Dossier:
    """Return the dossier, once its report is in the MLflow run and in the Prefect UI."""
    settings = Settings()
    where = place(settings)
    manifest = manifests.of(weights, choice.artifact, toolchain())
    before = records.manifest(champion.run_id, where) if champion else None
    dossier = Dossier(
        entry=entry,
        weights=weights,
        choice=choice,
        candidate=candidate,
        report=smoke_report,
        verdict=judgement.verdict,
        gates=judgement.gates,
        champion=champion.version if champion else None,
        changes=changes.since(before, manifest) if champion else (),
        flow_run_url=flow_run_url(),
        mlflow_url=runs.page(settings.mlflow_url, candidate.run_id, where),
    )
    runs.publish(dossier, manifest, where)
    _show(dossier)
    return dossier


def _show(dossier: Dossier) -> None:
    """Put the report among the flow run's artifacts."""
    entry, picture = dossier.entry, base64.b64encode(report.picture(dossier)).decode()
    create_markdown_artifact(
        report.markdown(dossier, f"data:image/png;base64,{picture}"),
        key=f"release-report-{entry.name.replace('.', '-')}",
        description=f"{entry.title}: {dossier.verdict.kind}",
    )
