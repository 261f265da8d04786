"""The line: one model of the catalogue, from its source to a promoted version."""

from prefect import flow

from slipway.values import Release
from tasks.download import download
from tasks.entries import entry_of, find_release, key_of
from tasks.judge import judge
from tasks.lift import lift
from tasks.log import log
from tasks.naming import name_run
from tasks.prepare import prepare
from tasks.promote import promote
from tasks.publish import publish
from tasks.resolve import resolve
from tasks.smoke_test import smoke_test


@flow(name="release-model", flow_run_name="{model}", validate_parameters=True)
def release_model(model: str, reason: str | None = None, lift_quarantine: bool = False) -> Release:
    """Release one model of the catalogue, unless this very release is already there.

    Running it again is safe: what an earlier run finished is found again by its key.

    Args:
        model: Name of an entry in catalogue.toml.
        reason: Why, for the record.
        lift_quarantine: Let this release serve again although it was rolled back or rejected.
    """
    entry = entry_of(model)
    revision = resolve(entry)
    key = key_of(entry, revision)
    name_run(f"{model}@{revision.commit[:8]}")

    if lift_quarantine and (lifted := lift(entry, key, reason)):
        return lifted
    if existing := find_release(entry, key):
        return existing

    weights = download(revision)
    artifact = prepare(weights, entry.recipe)
    name_run(f"{model}@{revision.commit[:8]} {artifact.variant}")

    candidate = log(entry, key, weights, artifact)
    report = smoke_test(entry, candidate, weights, artifact)
    verdict = judge(entry, report)
    dossier = publish(
        entry=entry,
        weights=weights,
        artifact=artifact,
        candidate=candidate,
        smoke_report=report,
        verdict=verdict,
    )
    return promote(dossier)
