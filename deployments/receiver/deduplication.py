"""What was heard a moment ago: bounded in number and in time."""

from collections import OrderedDict


class Deduplication:
    """Names that were heard, each for a while.

    Args:
        keep_seconds: How long one is remembered.
        most: How many are; the oldest is forgotten first.
    """

    def __init__(self, keep_seconds: float, most: int = 10_000) -> None:
        self._keep_seconds = keep_seconds
        self._most = most
        self._heard: OrderedDict[str, float] = OrderedDict()

    def knows(self, name: str, now_seconds: float) -> bool:
        """Tell whether ``name`` was heard a moment ago."""
        heard = self._heard.get(name)
        return heard is not None and now_seconds - heard < self._keep_seconds

    def hear(self, name: str, now_seconds: float) -> None:
        """Remember ``name`` from now on."""
        self._heard.pop(name, None)
        self._heard[name] = now_seconds
        if len(self._heard) > self._most:
            self._heard.popitem(last=False)
