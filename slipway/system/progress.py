"""How a long step tells how far it is, without knowing who listens."""

from typing import Protocol


class Progress(Protocol):
    """Listens to a step.

    Args of a call:
        share: How much is done, from 0 to 1; None while that is not known.
        text: What is being done, for people.
    """

    def __call__(self, share: float | None, text: str) -> None:
        """Take one piece of news."""


def silent(share: float | None, text: str) -> None:
    """Listen to nothing."""
