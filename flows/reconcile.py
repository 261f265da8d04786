"""Repairs missed events; runs hourly."""

from prefect import flow

from flows.redeploy import redeploy
from slipway.redeploy.values import NoChange, Redeployment
from tasks.entries import all_entries
from tasks.recover import recover
from tasks.redeploy import compare, served_models


@flow(name="reconcile", validate_parameters=True)
def reconcile() -> tuple[Redeployment, ...]:
    """Bring the record of every model up to date, and the served version in line with its champion.

    A half-done alias change is rolled back, an answer that was given as a tag is carried out, a
    change by hand is recorded, a pending event is sent. Where all is in order, nothing is done.
    """
    for entry in all_entries():
        recover(entry)
    outdated = [model for model in served_models() if not isinstance(compare(model), NoChange)]
    return tuple(redeploy(model) for model in outdated)
