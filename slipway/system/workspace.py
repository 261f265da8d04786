"""Where the steps of a release work, and with what."""

from dataclasses import dataclass, replace
from typing import Self

from slipway.errors import MachineTooSmall
from slipway.system import memory
from slipway.system.process import ProcessLimits
from slipway.system.progress import Progress, silent
from slipway.system.store import Store


@dataclass(frozen=True)
class Workspace:
    """Where the steps of a release work, and with what; ``tools`` are versions by name."""

    store: Store
    limits: ProcessLimits
    tools: dict[str, str]
    progress: Progress = silent

    def require_memory(self, step: str, needed_bytes: int) -> None:
        """Check that a step has room before it starts.

        Raises:
            MachineTooSmall: If it needs more than the limit, or than is free where there is none.
        """
        free_bytes = self.limits.memory_bytes or memory.free_bytes()
        if needed_bytes > free_bytes:
            raise MachineTooSmall(step, "memory", needed_bytes, free_bytes)

    def part(self, index: int, total: int) -> Self:
        """Return the same workspace for piece ``index``, from 0, of ``total`` equal pieces."""

        def progress(share: float | None, text: str) -> None:
            self.progress(None if share is None else (index + share) / total, text)

        return replace(self, progress=progress)
