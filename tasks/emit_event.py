"""An alias change → an event of Prefect."""

from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

from prefect import get_run_logger
from prefect.client.orchestration import get_client
from prefect.events import Event
from prefect.runtime import flow_run

from slipway.system.failpoints import failpoint
from slipway.values import AliasChange
from tasks.context import registry

_EVENTS = {
    "promotion": "promoted",
    "by-hand": "promoted",
    "rollback": "rolled-back",
    "restored": "rolled-back",
}


def emit_event(event: str, model: str, **payload: Any) -> bool:
    """Send the event ``slipway.model.<event>``; return whether Prefect's server received it.

    An event only says "look again": its receiver reads the registry. With ``move``, the run of a
    recorded alias change, in the payload, a repeated event has the same id.

    Args:
        event: ``promoted``, ``rejected``, ``rolled-back``, ``quarantined``, ``redeployed``,
            ``watched`` or ``approval-wanted``.
        model: Name of the entry.
        **payload: Figures and texts, as JSON has them.
    """
    identity = uuid5(NAMESPACE_URL, f"{event}:{payload['move']}") if "move" in payload else uuid4()
    resource = {
        "prefect.resource.id": f"slipway.model.{model}",
        "prefect.resource.name": model,
        "slipway.model": model,
        "slipway.version": str(payload.get("version", "")),
    }
    related = [{"prefect.resource.id": f"prefect.flow-run.{flow_run.id}"}] if flow_run.id else []
    for each in related:
        each["prefect.resource.role"] = "flow-run"
    message = Event(
        event=f"slipway.model.{event}",
        resource=resource,
        related=related,
        payload=payload,
        id=identity,
    )
    try:  # Prefect's own emit_event sends in the background, and does not report failures
        with get_client(sync_client=True) as client:
            client.request("POST", "/events", json=[message.model_dump(mode="json")])
    except Exception as error:  # noqa: BLE001 - whoever listens looks again by itself
        get_run_logger().warning(f"the event {message.event} was not sent: {error}")
        return False
    return True


def emit_pending_events(model: str) -> None:
    """Send the events of alias changes that were not sent yet, and record that they were.

    Somebody who may not promote leaves that to others.
    """
    models = registry()
    for change in models.pending_events(model) if models.may_promote else ():
        failpoint("event.before-send")
        if emit_event(_EVENTS[change.kind], model, **_payload(change)):
            failpoint("event.after-send")
            models.mark_event_sent(model, change)
            failpoint("event.after-mark")


def _payload(change: AliasChange) -> dict[str, Any]:
    return {
        "move": change.run_id,
        "version": change.after,
        "before": change.before,
        "actor": change.audit.actor,
        "reason": change.audit.reason,
    }
