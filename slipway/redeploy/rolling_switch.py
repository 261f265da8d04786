"""The default switch: a server's workers are replaced one by one, on the same port.

Both versions answer side by side meanwhile; a worker that is replaced takes no more requests and
ends with the last answer that it began.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from slipway.errors import CandidateFailed, SourceMissing
from slipway.redeploy import model_server
from slipway.redeploy.model_server import Address

_POLL_SECONDS = 0.2
#: A server that has neither more nor fewer workers than it should for so long has given up.
_QUIET_SECONDS = 15.0


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
            SourceMissing: If there is no server any more.
            CandidateFailed: If a worker did not get ready; all answer with ``before`` again.
        """
        address = self._address()
        former = model_server.workers(address)
        if self._roll(address, version):
            return
        self._address()  # without a server the version is not to blame
        reason = "its workers did not get ready; the server's log says why"
        if model_server.workers(address) == former:  # none was replaced
            model_server.point(self.folder, self.model, self.before)
        elif not self._roll(address, self.before):
            reason += f", and not all workers are back at version {self.before}: restart the server"
        raise CandidateFailed(self.model, version, reason)

    def _address(self) -> Address:
        address = model_server.find(self.folder)
        if address is None:
            raise SourceMissing(f"a server of {self.model}", f"slipway serve {self.model}")
        return address

    def _roll(self, address: Address, version: int) -> bool:
        """Tell whether all workers were replaced by such as answer with ``version``."""
        former, answered = model_server.workers(address), set[int]()
        model_server.point(self.folder, self.model, version)
        address.roll()
        deadline = time.monotonic() + address.workers * self.worker_seconds
        quiet_until = time.monotonic() + _QUIET_SECONDS
        while time.monotonic() < min(deadline, quiet_until) and model_server.find(self.folder):
            answered |= {
                ready.pid for ready in model_server.ask_all(address) if ready.version == version
            }
            workers = model_server.workers(address)
            if len(workers - former) == address.workers and workers <= answered:
                return True
            if len(workers) != address.workers:  # one is loading, or giving its last answers
                quiet_until = time.monotonic() + _QUIET_SECONDS
            time.sleep(_POLL_SECONDS)
        return False
