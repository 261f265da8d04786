"""The served version follows the alias ``champion``; a version that fails is quarantined."""

from prefect import flow

from flows.parameters import Model
from slipway.redeploy.values import (
    Deploy,
    DeployRejected,
    NoChange,
    Redeployed,
    Redeployment,
    Reject,
    Unchanged,
)
from tasks.outcome import ended
from tasks.redeploy import compare, locked, preflight, reject, switch

#: Limit of rounds in one run: an alias that moves during a redeploy is followed in the next round.
ROUNDS = 4


@flow(name="redeploy", flow_run_name="redeploy {model}", validate_parameters=True)
def redeploy(model: Model) -> Redeployment:
    """Serve the champion while requests keep being answered; reject it if it must not be served.

    Running it again is safe: it compares the served version with the champion and acts on the
    difference.

    Args:
        model: An entry of catalogue.toml whose model server is running.
    """
    outcome: Redeployed | DeployRejected | None = None
    with locked(model):
        for _ in range(ROUNDS):
            decision = compare(model)
            if isinstance(decision, NoChange):
                return ended(outcome or Unchanged(model=model, reason=decision.reason))
            outcome = carry_out(model, decision)
    assert outcome is not None  # noqa: S101 - there was a round
    return ended(outcome)


def carry_out(model: Model, decision: Deploy | Reject) -> Redeployed | DeployRejected:
    """Return how one round ended."""
    if isinstance(decision, Reject):
        return reject(model, decision, decision.reason)
    checked = preflight(model, decision)
    if checked.fault:
        return reject(model, decision, checked.fault)
    switched = switch(model, decision)
    if switched.fault:
        return reject(model, decision, switched.fault)
    return Redeployed(
        model=model,
        before=decision.serving,
        version=decision.version,
        preflight_seconds=checked.seconds,
        switch_seconds=switched.seconds,
    )
