"""Sends events to Prefect's API, once whoever reported them has an answer."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from prefect.client.orchestration import get_client
from prefect.events.schemas.events import Event, Resource

from slipway.values import ChangeEvent

MOST = 1000
SEND_SECONDS = 20.0

Send = Callable[[ChangeEvent], Awaitable[None]]

_logger = logging.getLogger(__name__)


class Outbox:
    """Notices that wait to be sent, in order.

    Args:
        send: Sends one.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting: asyncio.Queue[ChangeEvent] = asyncio.Queue(MOST)

    def has_room(self, count: int) -> bool:
        """Tell whether ``count`` more notices can wait."""
        return self._waiting.qsize() + count <= MOST

    def put(self, notice: ChangeEvent) -> None:
        """Have ``notice`` sent soon; it does not wait for that."""
        self._waiting.put_nowait(notice)

    async def run(self) -> None:
        """Send what is put in, until cancelled.

        An event that cannot be sent is lost, and the next scheduled look repairs that.
        """
        while True:
            notice = await self._waiting.get()
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await self._send(notice)
                _logger.info("%s %s: sent", notice.event, notice.model)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next one must be sent
                _logger.warning(
                    "%s %s: lost, since Prefect does not answer (%s); the next scheduled look "
                    "finds out what happened",
                    notice.event,
                    notice.model,
                    type(error).__name__,
                )


async def send(notice: ChangeEvent) -> None:
    """Send one notice to Prefect's API as an event, and hear that it arrived."""
    resource = {
        "prefect.resource.id": f"slipway.model.{notice.model}",
        "prefect.resource.name": notice.model,
        "slipway.model": notice.model,
    }
    event = Event(event=notice.event, resource=Resource(resource), payload=dict(notice.payload))
    async with get_client() as client:
        answer = await client.request("POST", "/events", json=[event.model_dump(mode="json")])
        answer.raise_for_status()
