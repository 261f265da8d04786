"""Where and with what the steps of a release work."""

import re
from dataclasses import dataclass, replace
from typing import Self

from slipway.system.process import ProcessLimits
from slipway.system.progress import Progress, silent
from slipway.system.store import Store


@dataclass(frozen=True)
class Workspace:
    """Where and with what the steps work.

    Attributes:
        store: Takes the verified folders.
        limits: What a child process may use.
        tools: Versions of the tools that shape the bytes.
        progress: Listens.
    """

    store: Store
    limits: ProcessLimits
    tools: dict[str, str]
    progress: Progress = silent

    def part(self, index: int, total: int) -> Self:
        """Return the same workspace for one of several like pieces of work.

        Args:
            index: Which piece, from 0.
            total: How many there are.
        """

        def tell(share: float | None, text: str) -> None:
            self.progress(None if share is None else (index + share) / total, text)

        return replace(self, progress=tell)


def brief(reason: str) -> str:
    """Return what went wrong without the path of this machine's log: reports are for everybody."""
    return re.sub(r"; all that it said is in \S+$", "", reason)
