"""The line: one model of the catalogue, from its source to a promoted version."""

from typing import Annotated

from prefect import flow

from flows.parameters import Model, OptionalReason, Recipe, Ref, titled
from slipway.catalogue import as_requested
from slipway.values import Release, pinned
from tasks.build import build
from tasks.decide import decide
from tasks.download import download
from tasks.entries import (
    entry_of,
    find_champion,
    find_release,
    finished_meanwhile,
    key_of,
    key_of_repetition,
)
from tasks.evaluate import evaluate
from tasks.inform import rename_run
from tasks.lift_quarantine import lift
from tasks.log import log
from tasks.outcome import ended
from tasks.pools import hand_over
from tasks.promote import promote
from tasks.publish import publish
from tasks.releasing import releasing
from tasks.resolve import resolve
from tasks.run_tasks import run_tasks
from tasks.seal import seal
from tasks.search import search
from tasks.select import select
from tasks.smoke_test import smoke_test


@flow(name="release-model", flow_run_name="{model}", validate_parameters=True)
def release_model(  # noqa: PLR0913, PLR0917 - its form has what people ask for
    model: Model,
    ref: Ref = None,
    recipe: Recipe = "as in the catalogue",
    reason: OptionalReason = None,
    force: Annotated[bool, titled("Release it again as a new version")] = False,
    lift_quarantine: Annotated[bool, titled("Lift its quarantine")] = False,
) -> Release:
    """Release one model of the catalogue, unless the same release already exists.

    Running it again is safe: what an earlier run finished is found by its key.

    Args:
        model: What to release: an entry of catalogue.toml.
        ref: Of a model from the Hub, such as main; left empty, what the catalogue says.
        recipe: The catalogue's candidates, of which the gates choose; or this precision alone.
        reason: Why you start it, for the record. Lifting a quarantine needs one.
        force: Log, test and promote it as a new version, although it is there already. With a
            reason, also although its source is older than the champion's.
        lift_quarantine: Let this release serve again although it was rolled back or rejected.
    """
    entry = as_requested(entry_of(model), ref, recipe)
    if elsewhere := hand_over(entry):
        return elsewhere
    revision = resolve(entry)
    key = key_of(entry, revision)
    rename_run(pinned(model, revision.commit))

    if lift_quarantine and (lifted := lift(model, key, reason)):
        return ended(lifted)

    with releasing(model):
        if existing := find_release(entry, key, force=force):
            if not (force and existing.may_be_repeated):
                return ended(existing)
            key = key_of_repetition(key)

        champion = find_champion(entry)
        weights = download(revision)
        if entry.recipe.kind == "search":
            entry = search(entry, weights)
        built = build(weights, entry.recipe)
        evaluations = evaluate(entry, weights, built)
        if entry.tasks:
            evaluations = run_tasks(entry, weights, evaluations, champion)
        selection = select(entry, weights, evaluations, champion)
        rename_run(f"{pinned(model, revision.commit)} {selection.variant}")

        versions = log(entry, key, weights, selection.artifact)
        smoke_report = smoke_test(entry, versions, selection.precision, champion)
        insisted = reason if force else None
        decision = decide(
            entry=entry,
            revision=revision,
            selection=selection,
            report=smoke_report,
            champion=champion,
            insisted=insisted,
        )
        if twin := finished_meanwhile(entry, key):
            return ended(twin)
        summary = publish(
            entry=entry,
            weights=weights,
            selection=selection,
            versions=versions,
            smoke_report=smoke_report,
            decision=decision,
            champion=champion,
        )
        seal(summary, reason)
        return ended(promote(summary, insisted))
