"""The hourly look: a missed event changes when a champion serves, never whether."""

from prefect import flow

from flows.redeploy import redeploy
from slipway.redeploy import Leave, Redeployment
from tasks.redeploy import compare, served_models


@flow(name="reconcile", validate_parameters=True)
def reconcile() -> tuple[Redeployment, ...]:
    """Redeploy every model whose server answers with another version than its champion.

    Where they are equal, nothing is done.
    """
    astray = [model for model in served_models() if not isinstance(compare(model), Leave)]
    return tuple(redeploy(model) for model in astray)
