"""Automations that belong to no deployment: for lost runs, failed actions and messages."""

from datetime import timedelta
from uuid import UUID

from prefect.client.schemas.objects import StateType
from prefect.events import AutomationCore, EventTrigger, Posture, ResourceSpecification
from prefect.events.actions import ChangeFlowRunState, RunDeployment, SendNotification

from slipway.libraries import HEARTBEAT_SECONDS
from tasks import outcome

#: Prefix of their names, and of none in prefect.yaml; other automations with it are removed.
OURS = "slipway: "

_RUNS = ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"})

#: One automation for each kind of message: title, resources, events.
_NEWS = (
    ("a run has failed", "prefect.flow-run.*", "prefect.flow-run.Failed prefect.flow-run.Crashed"),
    ("a model was rejected", "slipway.model.*", "slipway.model.rejected"),
    ("a model was promoted", "slipway.model.*", "slipway.model.promoted"),
    ("a model was rolled back", "slipway.model.*", "slipway.model.rolled-back"),
)


def wanted(reconcile: UUID, block: UUID | None) -> tuple[AutomationCore, ...]:
    """Return every automation that the server should have.

    Args:
        reconcile: Id of the deployment that repairs what a failed action left undone.
        block: Id of the notification block for messages; None to send none.
    """
    messages = () if block is None else tuple(_message(*news, block) for news in _NEWS)
    return (_lost_runs(), _stuck_runs(), _failed_actions(reconcile), *messages)


_AGAIN = "Run it again: finished steps are not repeated."


def _lost_runs() -> AutomationCore:
    """Crash runs without a heartbeat: their process is gone, and they would keep their slot."""
    ends = {f"prefect.flow-run.{state}" for state in _ENDS}
    return _crash_runs(
        "that went silent",
        "No heartbeat for a while: the process is gone.",
        after="prefect.flow-run.heartbeat",
        expect={"prefect.flow-run.heartbeat", *ends},
        seconds=4 * HEARTBEAT_SECONDS,
    )


_ENDS = (
    *("Completed", "Failed", "Cancelled", "Crashed", "TimedOut", "Paused", "Suspended"),
    *outcome.NAMES,
)


def _stuck_runs() -> AutomationCore:
    """Crash runs that stay pending, as after a worker died while it started them."""
    return _crash_runs(
        "that never started",
        "No worker started it in time.",
        after="prefect.flow-run.Pending",
        expect={"prefect.flow-run.*"},
        seconds=900,
    )


def _crash_runs(
    which: str, reason: str, *, after: str, expect: set[str], seconds: float
) -> AutomationCore:
    return AutomationCore(
        name=f"{OURS}crash runs {which}",
        description=reason,
        trigger=EventTrigger(
            match=_RUNS,
            after={after},
            expect=expect,
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=seconds),
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message=f"{reason} {_AGAIN}")],
    )


def _failed_actions(reconcile: UUID) -> AutomationCore:
    """Reconcile after a failed action, which leaves no flow run that anybody would see.

    Our own automations are left out: this one would trigger itself for ever, and those for lost
    runs fail harmlessly if a run's last heartbeat arrives after its end.
    """
    return AutomationCore(
        name=f"{OURS}reconcile after a failed action",
        description="An automation's action failed; reconcile repairs what it left undone.",
        trigger=EventTrigger(
            match=ResourceSpecification({"prefect.resource.name": f"!{OURS}*"}),
            expect={"prefect.automation.action.failed"},
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[RunDeployment(deployment_id=reconcile)],
    )


def _message(title: str, resources: str, events: str, block: UUID) -> AutomationCore:
    return AutomationCore(
        name=f"{OURS}tell that {title}",
        description=f"Sends a message: {title}.",
        trigger=EventTrigger(
            match=ResourceSpecification({"prefect.resource.id": resources}),
            expect=set(events.split()),
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
