"""The line: one model of the catalogue, from its source to a promoted version."""

from typing import Annotated

from prefect import flow

from flows.parameters import Model, OptionalReason, Recipe, Ref, titled
from slipway.values import Release
from tasks.choose import choose
from tasks.download import download
from tasks.entries import (
    asked_for,
    entry_of,
    find_champion,
    find_release,
    key_of,
    key_of_repetition,
)
from tasks.judge import judge
from tasks.lift import lift
from tasks.log import log
from tasks.measure import measure
from tasks.naming import name_run
from tasks.prepare import prepare
from tasks.promote import promote
from tasks.publish import publish
from tasks.resolve import resolve
from tasks.smoke_test import smoke_test


@flow(name="release-model", flow_run_name="{model}", validate_parameters=True)
def release_model(  # noqa: PLR0913, PLR0917 - its form has what people ask for
    model: Model,
    ref: Ref = None,
    recipe: Recipe = "as in the catalogue",
    reason: OptionalReason = None,
    force: Annotated[bool, titled("Release it once more")] = False,
    lift_quarantine: Annotated[bool, titled("Lift its quarantine")] = False,
) -> Release:
    """Release one model of the catalogue, unless this very release is already there.

    Running it again is safe: what an earlier run finished is found again by its key.

    Args:
        model: What to release: an entry of catalogue.toml.
        ref: Of a model from the Hub, such as main; left empty, what the catalogue says.
        recipe: The catalogue's candidates, of which the gates choose; or this precision alone.
        reason: Why you start it, for the record. Lifting a quarantine needs one.
        force: Log, test and promote it as a new version, although it is there already.
        lift_quarantine: Let this release serve again although it was rolled back or rejected.
    """
    entry = asked_for(entry_of(model), ref, recipe)
    revision = resolve(entry)
    key = key_of(entry, revision)
    name_run(f"{model}@{revision.commit[:8]}")

    if lift_quarantine and (lifted := lift(entry, key, reason)):
        return lifted
    if existing := find_release(entry, key):
        if not (force and existing.may_be_repeated):
            return existing
        key = key_of_repetition(key)

    champion = find_champion(entry)
    weights = download(revision)
    attempts = prepare(weights, entry.recipe)
    trials = measure(entry, weights, attempts)
    choice = choose(entry, weights, trials, champion)
    name_run(f"{model}@{revision.commit[:8]} {choice.variant}")

    candidate = log(entry, key, weights, choice.artifact)
    report = smoke_test(entry, candidate, choice.precision)
    judgement = judge(entry, choice, report, champion)
    dossier = publish(
        entry=entry,
        weights=weights,
        choice=choice,
        candidate=candidate,
        smoke_report=report,
        judgement=judgement,
        champion=champion,
    )
    return promote(dossier)
