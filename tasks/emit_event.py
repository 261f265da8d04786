"""A move → an event, for whoever wants to know."""

from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

import httpx
from prefect import get_run_logger
from prefect.client.orchestration import get_client
from prefect.events import Event
from prefect.exceptions import PrefectHTTPStatusError
from prefect.runtime import flow_run

from slipway.values import AliasChange
from tasks.context import registry

_EVENTS = {"promotion": "promoted", "by-hand": "promoted", "rollback": "rolled-back"}


def emit_event(event: str, model: str, **payload: Any) -> bool:
    """Send the event ``slipway.model.<event>``; tell whether Prefect's server has it.

    An event only says that there is something to look at: whoever acts on it reads the registry.
    With ``move``, the id of a recorded move, in the payload, a repeated event is known as such.

    Args:
        event: ``promoted``, ``rejected``, ``rolled-back``, ``quarantined``, ``redeployed`` or
            ``approval-wanted``.
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
    try:  # Prefect's own emit_event sends in the background, and does not say whether it could
        with get_client(sync_client=True) as client:
            client.request("POST", "/events", json=[message.model_dump(mode="json")])
    except (httpx.HTTPError, PrefectHTTPStatusError, RuntimeError) as error:
        get_run_logger().warning(f"the event {message.event} was not sent: {error}")
        return False
    return True


def emit_pending_events(model: str) -> None:
    """Send the events of moves that were made and not announced, and note that they were sent."""
    models = registry()
    for move in models.unannounced(model):
        if emit_event(_EVENTS[move.kind], model, **_payload(move)) and move.after is not None:
            models.announced(model, move.after)


def _payload(move: AliasChange) -> dict[str, Any]:
    return {
        "move": move.run_id,
        "version": move.after,
        "before": move.before,
        "actor": move.cause.actor,
        "reason": move.cause.reason,
    }
