"""Sends events to Prefect's API after the sender of a webhook has its response."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from prefect.client.orchestration import get_client
from prefect.events.schemas.events import Event, Resource

from slipway.watch.webhooks import ChangeEvent

LIMIT = 1000
SEND_SECONDS = 20.0

Send = Callable[[ChangeEvent], Awaitable[None]]

_logger = logging.getLogger(__name__)


class Outbox:
    """Events that wait to be sent, in order."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting: asyncio.Queue[ChangeEvent] = asyncio.Queue(LIMIT)

    def has_room(self, count: int) -> bool:
        """Return whether ``count`` more events can wait."""
        return self._waiting.qsize() + count <= LIMIT

    def put(self, change: ChangeEvent) -> None:
        """Add an event; returns at once."""
        self._waiting.put_nowait(change)

    async def run(self) -> None:
        """Send the events until cancelled.

        An event that cannot be sent is lost; the next scheduled run finds the change itself.
        """
        while True:
            change = await self._waiting.get()
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await self._send(change)
                _logger.info("%s %s: sent", change.event, change.model)
            except Exception as error:  # noqa: BLE001 - the next event must be sent whatever it is
                _logger.warning(
                    "%s %s: lost, because Prefect does not answer (%s); the next scheduled run "
                    "finds the change",
                    change.event,
                    change.model,
                    type(error).__name__,
                )


async def send(change: ChangeEvent) -> None:
    """Send one event to Prefect's API, and wait for its response."""
    resource = {
        "prefect.resource.id": f"slipway.model.{change.model}",
        "prefect.resource.name": change.model,
        "slipway.model": change.model,
    }
    event = Event(event=change.event, resource=Resource(resource), payload=dict(change.payload))
    async with get_client() as client:
        response = await client.request("POST", "/events", json=[event.model_dump(mode="json")])
        response.raise_for_status()
