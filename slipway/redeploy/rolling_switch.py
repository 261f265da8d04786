"""Switches a server to another version: its workers are replaced one by one, on the same port.

Both versions answer side by side meanwhile. A worker that is replaced accepts no more requests and
exits after the last answer that it has begun.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from slipway.errors import CandidateFailed, SourceMissing
from slipway.redeploy import model_server
from slipway.serving.server_file import Address
from slipway.system.failpoints import failpoint

_POLL_SECONDS = 0.2
#: A server whose number of workers has been right for so long is not replacing any.
_QUIET_SECONDS = 15.0


@dataclass(frozen=True)
class RollingSwitch:
    """Replaces the workers of one model's server.

    Attributes:
        model: Name of the registered model.
        folder: The server's folder.
        before: Version to return to if the switch fails.
        worker_seconds: Time limit for one worker to load and its predecessor to exit.
    """

    model: str
    folder: Path
    before: int
    worker_seconds: float

    def to(self, version: int) -> None:
        """Return once every worker answers with ``version`` and the former workers have exited.

        Raises:
            SourceMissing: If no server is running.
            CandidateFailed: If a worker did not become ready; all answer with ``before`` again.
        """
        address = self._address()
        former = model_server.worker_pids(address)
        if self._replace_workers(address, version):
            return
        self._address()  # without a server the version is not to blame
        reason = "its workers did not become ready; the server's log says why"
        if model_server.worker_pids(address) == former:  # none was replaced
            model_server.set_version(self.folder, self.model, self.before)
        elif not self._replace_workers(address, self.before):
            reason += f", and some workers do not serve version {self.before}: restart the server"
        raise CandidateFailed(self.model, version, reason)

    def _address(self) -> Address:
        address = model_server.find(self.folder)
        if address is None:
            raise SourceMissing(
                f"a running server of {self.model}", f"run `slipway serve {self.model}`"
            )
        return address

    def _replace_workers(self, address: Address, version: int) -> bool:
        """Return whether all workers were replaced by workers that answer with ``version``."""
        former, answered = model_server.worker_pids(address), set[int]()
        model_server.set_version(self.folder, self.model, version)
        failpoint("switch.before-signal")
        model_server.replace_workers(address)
        failpoint("switch.after-signal")
        deadline = time.monotonic() + address.workers * self.worker_seconds
        quiet_until = time.monotonic() + _QUIET_SECONDS
        while time.monotonic() < min(deadline, quiet_until) and model_server.find(self.folder):
            ready = model_server.ready_workers(address)
            answered |= {each.pid for each in ready if each.version == version}
            workers = model_server.worker_pids(address)
            if len(workers - former) == address.workers and workers <= answered:
                failpoint("switch.after-workers")
                return True
            if len(workers) != address.workers:  # one is loading or exiting
                quiet_until = time.monotonic() + _QUIET_SECONDS
            time.sleep(_POLL_SECONDS)
        return False
