"""A person approves or rejects a candidate that passed its gates."""

from typing import Annotated, Literal

from prefect import flow
from prefect.flow_runs import suspend_flow_run

from flows.parameters import Model, Reason, WaitingVersion, titled
from slipway.values import Release
from tasks.approval import ApprovalAnswer, answer_approval, describe_form, waiting
from tasks.entries import entry_of
from tasks.outcome import ended

_DAY_SECONDS = 24 * 3600


@flow(name="approve-model", flow_run_name="approve {model}", validate_parameters=True)
def approve_model(
    model: Model,
    version: WaitingVersion = None,
    decision: Annotated[Literal["ask", "approve", "reject"], titled("Decision")] = "ask",
    reason: Reason = "no reason was given",
) -> Release:
    """Approve or reject the candidate that waits; without a decision, ask for it in a form.

    While it asks, the run is suspended: it holds no process and no slot, and survives restarts.

    Args:
        model: Whose candidate waits: an entry of catalogue.toml.
        version: The candidate's number in the registry; 0 for the one that waits.
        decision: "ask": the run is suspended, and shows a form with the candidate's figures.
        reason: Why, for the record; where the form asks, it asks for the reason too.
    """
    entry = entry_of(model)
    version = version or waiting(model)
    if decision == "ask":
        form = ApprovalAnswer.with_initial_data(description=describe_form(model, version))
        answer = suspend_flow_run(
            wait_for_input=form,
            timeout=int(entry.approval_timeout_hours * 3600) + _DAY_SECONDS,
            key="approval",
        )
        decision, reason = answer.decision, answer.reason
    return ended(answer_approval(model, version, decision, reason))
