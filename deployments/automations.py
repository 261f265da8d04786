"""The automations that belong to no deployment: lost runs, failed actions, messages."""

from datetime import timedelta
from uuid import UUID

from prefect.client.schemas.objects import StateType
from prefect.events import AutomationCore, EventTrigger, Posture, ResourceSpecification
from prefect.events.actions import ChangeFlowRunState, RunDeployment, SendNotification

from deployments.services import HEARTBEAT_SECONDS

#: Their names begin so, those of prefect.yaml do not; what begins so and is not wanted is removed.
OURS = "slipway: "

_RUNS = ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"})
_PENDING_SECONDS = 900

#: What a message is about: name, events, resources.
_NEWS = (
    (
        "a run has failed",
        {"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
        "prefect.flow-run.*",
    ),
    ("a model was rejected", {"slipway.model.rejected"}, "slipway.model.*"),
    ("a model was promoted", {"slipway.model.promoted"}, "slipway.model.*"),
    ("a model was rolled back", {"slipway.model.rolled-back"}, "slipway.model.*"),
)


def wanted(reconcile: UUID, block: UUID | None) -> tuple[AutomationCore, ...]:
    """Return every automation that should be there.

    Args:
        reconcile: The deployment that does what an action should have done.
        block: Where messages are sent; None for nowhere.
    """
    messages = () if block is None else tuple(_message(*news, block) for news in _NEWS)
    return (_lost_runs(), _stuck_runs(), _failed_actions(reconcile), *messages)


def _lost_runs() -> AutomationCore:
    """A run whose process is gone says nothing any more, and would hold its slot for ever."""
    return AutomationCore(
        name=f"{OURS}crash runs that went silent",
        description="A run that has not shown a sign of life for a while has lost its process.",
        trigger=EventTrigger(
            match=_RUNS,
            after={"prefect.flow-run.heartbeat"},
            expect={
                "prefect.flow-run.heartbeat",
                *(f"prefect.flow-run.{state}" for state in _ENDS),
            },
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=4 * HEARTBEAT_SECONDS),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED, message="No sign of life: its process is gone."
            )
        ],
    )


_ENDS = ("Completed", "Failed", "Cancelled", "Crashed", "TimedOut", "Paused", "Suspended")


def _stuck_runs() -> AutomationCore:
    """A worker that dies while it starts a run leaves it pending, where no heartbeat is missed."""
    return AutomationCore(
        name=f"{OURS}crash runs that never started",
        description="A run was handed to a worker that did not start it.",
        trigger=EventTrigger(
            match=_RUNS,
            after={"prefect.flow-run.Pending"},
            expect={"prefect.flow-run.*"},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=_PENDING_SECONDS),
        ),
        actions=[
            ChangeFlowRunState(state=StateType.CRASHED, message="No worker started it in time.")
        ],
    )


def _failed_actions(reconcile: UUID) -> AutomationCore:
    """An action that fails leaves no run behind, so that nobody would see it among the runs.

    Ours are left out: this one would answer itself for ever, and those on lost runs fail where a
    run's last sign of life arrives after its end, which is nothing to be done about.
    """
    return AutomationCore(
        name=f"{OURS}reconcile after a failed action",
        description="An automation could not do what it should; reconcile looks what is missing.",
        trigger=EventTrigger(
            match=ResourceSpecification({"prefect.resource.name": f"!{OURS}*"}),
            expect={"prefect.automation.action.failed"},
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[RunDeployment(deployment_id=reconcile)],
    )


def _message(title: str, events: set[str], resources: str, block: UUID) -> AutomationCore:
    return AutomationCore(
        name=f"{OURS}tell that {title}",
        description=f"Sends a message: {title}.",
        trigger=EventTrigger(
            match=ResourceSpecification({"prefect.resource.id": resources}),
            expect=events,
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[
            SendNotification(
                block_document_id=block,
                subject=f"Slipway: {title}",
                body="{{ event.event }}\n{{ event.resource.id }}\n{{ event.payload | tojson }}",
            )
        ],
    )
