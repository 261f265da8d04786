"""Everything about a release → a Dossier, published where people read it."""

import base64

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from slipway import changes, manifests, records, report, runs, tracking
from slipway.registry import Registry
from slipway.settings import Settings, toolchain
from slipway.values import (
    Candidate,
    Change,
    Choice,
    Dossier,
    Entry,
    GateResult,
    Manifest,
    SmokeReport,
    Verdict,
    Weights,
)
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
    choice: Choice,
    candidate: Candidate,
    smoke_report: SmokeReport,
    gates: tuple[GateResult, ...],
    verdict: Verdict,
) -> Dossier:
    """Return the dossier, once its report is in the MLflow run and in the Prefect UI."""
    settings = Settings()
    models = registry()
    experiment = tracking.experiment_id(entry.name, models.place)
    champion = models.champion(candidate.onnx.name)
    manifest = manifests.of(weights, choice.artifact, toolchain())
    dossier = Dossier(
        entry=entry,
        weights=weights,
        choice=choice,
        candidate=candidate,
        report=smoke_report,
        verdict=verdict,
        gates=gates,
        champion=champion,
        changes=_changes(models, candidate.onnx.name, champion, manifest),
        flow_run_url=flow_run_url(),
        mlflow_url=f"{settings.mlflow_url}/#/experiments/{experiment}/runs/{candidate.run_id}",
    )
    runs.publish(dossier, manifest, place(settings))
    _show(dossier)
    return dossier


def _changes(
    models: Registry, name: str, champion: int | None, manifest: Manifest
) -> tuple[Change, ...]:
    """Return what is not as in the version that serves; nothing without one."""
    if champion is None:
        return ()
    before = records.manifest(records.run_of(name, champion, models.place), models.place)
    return changes.since(before, manifest)


def _show(dossier: Dossier) -> None:
    """Put the report among the flow run's artifacts."""
    entry, picture = dossier.entry, base64.b64encode(report.picture(dossier)).decode()
    create_markdown_artifact(
        report.markdown(dossier, f"data:image/png;base64,{picture}"),
        key=f"release-report-{entry.name.replace('.', '-')}",
        description=f"{entry.title}: {dossier.verdict.kind}",
    )
