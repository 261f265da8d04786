"""What a webhook has to say, once it is known who says it."""

from typing import Literal

from slipway.values.base import Value

Event = Literal["slipway.source.changed", "slipway.champion.moved"]


class ChangeEvent(Value):
    """A reason to look again at one model; what is really so is read where it is kept.

    Attributes:
        event: Name of the event.
        model: Name of the entry in the catalogue.
        payload: What else the sender said; ``model`` is always in it.
    """

    event: Event
    model: str
    payload: dict[str, str | int | None]
