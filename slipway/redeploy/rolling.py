"""The default switch: a server's workers are replaced one by one, on the same port.

Both versions answer side by side meanwhile; a worker that is replaced takes no more requests and
ends with the last answer that it began.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from slipway.errors import CandidateFailed, SourceMissing
from slipway.redeploy import server
from slipway.redeploy.server import Address

_POLL_SECONDS = 0.2
_LEAST_WORKERS = 2


@dataclass(frozen=True)
class Rolling:
    """Rolls the workers of one model's server.

    Attributes:
        model: Name of the registered model.
        folder: Where its pointer and its ``server.json`` are.
        before: Version to return to if the roll fails.
        worker_seconds: Longest that one worker may take to load, and its predecessor to end.
    """

    model: str
    folder: Path
    before: int
    worker_seconds: float

    def __call__(self, version: int) -> None:
        """Return once every worker answers with ``version`` and those before have ended.

        Raises:
            SourceMissing: If there is no server, or it has a single worker, which a roll would end.
            CandidateFailed: If a worker did not get ready; all answer with ``before`` again.
        """
        address = self._address()
        former = {ready.pid for ready in server.ask_all(address)}
        if self._roll(address, version, former):
            return
        reason = f"its workers were not ready within {self._limit_seconds(address):.0f} s"
        if not self._roll(address, self.before, set()):
            reason += f", and not all workers are back at version {self.before}: restart the server"
        raise CandidateFailed(self.model, version, reason)

    def _address(self) -> Address:
        address = server.find(self.folder)
        if address is None:
            raise SourceMissing(f"a server of {self.model}", "start it; it takes the champion")
        if address.workers < _LEAST_WORKERS:
            advice = "start the server with --workers 2, or no redeploy can go unnoticed"
            raise SourceMissing(f"a second worker of {self.model}", advice)
        return address

    def _roll(self, address: Address, version: int, former: set[int]) -> bool:
        """Tell whether all workers came to answer with ``version``, and the former ones ended."""
        server.point(self.folder, self.model, version)
        address.roll()
        deadline = time.monotonic() + self._limit_seconds(address)
        while time.monotonic() < deadline and server.find(self.folder):
            found = server.ask_all(address)
            ended = not any(psutil.pid_exists(pid) for pid in former)
            if ended and {ready.version for ready in found} == {version}:
                return len(found) >= address.workers or self._others_agree(address, version)
            time.sleep(_POLL_SECONDS)
        return False

    def _others_agree(self, address: Address, version: int) -> bool:
        """Ask again, since a busy worker may leave all questions to the others."""
        return all(ready.version == version for ready in server.ask_all(address))

    def _limit_seconds(self, address: Address) -> float:
        return address.workers * self.worker_seconds
