"""A person's word about a candidate that passed its gates."""

from prefect import flow
from prefect.flow_runs import suspend_flow_run

from slipway.values import Decision, Release
from tasks.approval import Answer
from tasks.decide import decide, open_form, waiting
from tasks.entries import entry_of

_DAY_SECONDS = 24 * 3600


@flow(name="approve-model", flow_run_name="approve {model}", validate_parameters=True)
def approve_model(
    model: str,
    version: int | None = None,
    decision: Decision | None = None,
    reason: str = "no reason was given",
) -> Release:
    """Approve or reject the candidate that waits; without a decision, ask for one in a form.

    While it asks, the run is suspended: it holds no process and no slot, and survives restarts.

    Args:
        model: Name of an entry in catalogue.toml.
        version: The candidate's version; the one that waits if it is not named.
        decision: What is decided; a form asks for it if it is not named.
        reason: Why, for the record.
    """
    entry = entry_of(model)
    version = version or waiting(model)
    if decision is None:
        answer = suspend_flow_run(
            wait_for_input=Answer.with_initial_data(description=open_form(model, version)),
            timeout=int(entry.approval_timeout_hours * 3600) + _DAY_SECONDS,
            key="approval",
        )
        decision, reason = answer.decision, answer.reason
    return decide(model, version, decision, reason)
