"""What serves follows the alias ``champion``; a version that must not serve goes to quarantine."""

from prefect import flow

from flows.parameters import Model
from slipway.redeploy import (
    Deploy,
    DeployRejected,
    NoChange,
    Redeployed,
    Redeployment,
    Reject,
    Unchanged,
)
from tasks.redeploy import alone, compare, preflight, put_back, switch

#: An alias that moves meanwhile is followed, but not for ever.
ROUNDS = 4


@flow(name="redeploy", flow_run_name="redeploy {model}", validate_parameters=True)
def redeploy(model: Model) -> Redeployment:
    """Make the champion serve, unless it does, or must not; requests keep being answered.

    Running it again is safe: it compares what serves with what should, and acts on the difference.

    Args:
        model: What is served; an entry of catalogue.toml whose model server runs.
    """
    outcome: Redeployed | DeployRejected | None = None
    with alone(model):
        for _ in range(ROUNDS):
            decision = compare(model)
            if isinstance(decision, NoChange):
                return outcome or Unchanged(model=model, reason=decision.reason)
            outcome = carry_out(model, decision)
    assert outcome is not None  # noqa: S101 - there was a round
    return outcome


def carry_out(model: Model, decision: Deploy | Reject) -> Redeployed | DeployRejected:
    """Return how one round ended: the new version serves, or the old one does as before."""
    if isinstance(decision, Reject):
        return put_back(model, decision, decision.reason)
    trial = preflight(model, decision)
    if trial.fault:
        return put_back(model, decision, trial.fault)
    moved = switch(model, decision)
    if moved.fault:
        return put_back(model, decision, moved.fault)
    return Redeployed(
        model=model,
        before=decision.serving,
        version=decision.version,
        trial_seconds=trial.seconds,
        switch_seconds=moved.seconds,
    )
