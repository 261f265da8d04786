"""Repairs missed events; runs hourly."""

from typing import Any

from prefect import State, flow

from flows.redeploy import redeploy
from flows.watch_switch import watch_switch
from slipway.redeploy.values import NoChange, Redeployment
from tasks.entries import all_entries
from tasks.recover import recover
from tasks.redeploy import compare, served_models
from tasks.watch_switch import watched_models


@flow(name="reconcile", validate_parameters=True)
def reconcile() -> tuple[Redeployment, ...]:
    """Bring the record of every model up to date, and the served version in line with its champion.

    A half-done alias change is rolled back, an answer that was given as a tag is carried out, a
    change by hand is recorded, or undone where the model needs an approval; a pending event is
    sent; a switch that is being watched is looked at. Where all is in order, nothing is done. A
    model that fails holds up no other one.
    """
    states: list[State[Any]] = [recover(entry, return_state=True) for entry in all_entries()]
    redeployed: list[State[Redeployment]] = []
    for model in served_models():
        compared = compare(model, return_state=True)
        states.append(compared)
        if compared.is_completed() and not isinstance(compared.result(), NoChange):
            redeployed.append(redeploy(model, return_state=True))
    states += [watch_switch(model, return_state=True) for model in watched_models()]
    for state in states:  # what failed for one model fails the run, once the others are done
        state.result()
    return tuple(state.result() for state in redeployed)
