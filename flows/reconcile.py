"""The hourly look: a missed event changes when a champion serves, never whether."""

from prefect import flow

from flows.redeploy import redeploy
from slipway.redeploy.values import NoChange, Redeployment
from tasks.entries import all_entries
from tasks.recover import recover
from tasks.redeploy import compare, served_models


@flow(name="reconcile", validate_parameters=True)
def reconcile() -> tuple[Redeployment, ...]:
    """Bring the record of every model up to date, and what serves in line with its champion.

    Half a move is undone, an answer that was given as a tag carried out, a move by hand recorded,
    an event that was not sent is sent. Where all is as it should be, nothing is done.
    """
    for entry in all_entries():
        recover(entry)
    astray = [model for model in served_models() if not isinstance(compare(model), NoChange)]
    return tuple(redeploy(model) for model in astray)
