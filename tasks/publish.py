"""Everything about a release → a Dossier, published where people read it."""

import base64

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from slipway import report, tracking
from slipway.settings import Settings
from slipway.values import Artifact, Candidate, Dossier, Entry, SmokeReport, Verdict, Weights
from tasks.edge import flow_run_url, place, registry
from tasks.policies import DELAYS_SECONDS, worth_retrying


@task(
    task_run_name="publish {candidate.model} v{candidate.onnx.version}",
    description="Write the report to MLflow and to this run's artifacts.",
    cache_policy=NO_CACHE,
    retries=3,
    retry_delay_seconds=DELAYS_SECONDS,
    retry_condition_fn=worth_retrying,
    timeout_seconds=900,
)
def publish(  # noqa: PLR0913 - a dossier is made of all of them
    *,
    entry: Entry,
    weights: Weights,
    artifact: Artifact,
    candidate: Candidate,
    smoke_report: SmokeReport,
    verdict: Verdict,
) -> Dossier:
    """Return the dossier, once its report is in the MLflow run and in the Prefect UI."""
    settings = Settings()
    models = registry()
    experiment = tracking.experiment_id(entry.name, models.place)
    dossier = Dossier(
        entry=entry,
        weights=weights,
        artifact=artifact,
        candidate=candidate,
        report=smoke_report,
        verdict=verdict,
        champion=models.champion(candidate.onnx.name),
        flow_run_url=flow_run_url(),
        mlflow_url=f"{settings.mlflow_url}/#/experiments/{experiment}/runs/{candidate.run_id}",
    )
    tracking.publish(dossier, place(settings))
    picture = base64.b64encode(report.picture(dossier)).decode()
    create_markdown_artifact(
        report.markdown(dossier, f"data:image/png;base64,{picture}"),
        key=f"release-report-{entry.name.replace('.', '-')}",
        description=f"{entry.title}: {verdict.kind}",
    )
    return dossier
