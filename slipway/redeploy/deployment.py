"""The steps of one model's redeploy.

A fault of the version is returned as a value. An error is a fault of the machine or of a server,
and does not count against the version.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from socket import gethostname

from filelock import FileLock

from slipway.errors import (
    ArtifactChanged,
    CandidateFailed,
    MachineTooSmall,
    ServedElsewhere,
    ServerMissing,
    SlipwayError,
    StepCrashed,
    StepFailed,
    StepOutOfMemory,
    StepTimedOut,
    VersionRefused,
    VersionUnsigned,
)
from slipway.redeploy import golden_prompts, model_server
from slipway.redeploy.compare import compare
from slipway.redeploy.golden_prompts import GoldenPrompts
from slipway.redeploy.model_server import START_SECONDS
from slipway.redeploy.preflight import preflight
from slipway.redeploy.rolling_switch import RollingSwitch
from slipway.redeploy.values import ChampionState, Deploy, RedeployDecision, SwitchResult
from slipway.system import memory
from slipway.system.process import ProcessLimits
from slipway.tracking.verified_copy import CopyPlace, CopyRequest, VerifiedCopy, fetch, verify

_POLL_SECONDS = 0.5

#: Memory that a preflight leaves free for the serving processes.
_RESERVE_BYTES = 300_000_000


@dataclass(frozen=True)
class Deployment:
    """Where one model is served, and what a version must prove there.

    Attributes:
        model: Name of the registered model.
        folder: The server's folder: its pointer file and ``server.json``.
        locks: Folder of the lock that makes redeploys of a model run one at a time.
        copies: Where versions come from, and where their copies are kept.
        limits: Of a preflight server: time until it is ready, memory, and where its log goes.
        golden: What the preflight server must answer.
        drain_seconds: Time limit for a replaced worker to complete its answers.
        found_at: Where a server of the model is found, if none runs in ``folder``.
        is_awaited: Whether the model is to be served, so that no server is a fault.
        key: With which this home's own processes use its model servers.
    """

    model: str
    folder: Path
    locks: Path
    copies: CopyPlace
    limits: ProcessLimits
    golden: GoldenPrompts
    drain_seconds: float
    found_at: str = ""
    is_awaited: bool = False
    key: str = field(default="", repr=False)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Wait until no other redeploy of this model is running on this machine."""
        self.locks.mkdir(parents=True, exist_ok=True)
        with FileLock(self.locks / f"redeploy-{self.model}.lock"):
            yield

    def compare(self, champion: ChampionState | None) -> RedeployDecision:
        """Compare the version that the server answers with to the champion.

        A server that is starting is waited for.

        Raises:
            ServedElsewhere: If the server runs on another machine or in another container.
            ServerMissing: If there is none, and the next would not start with the champion.
        """
        deadline = time.monotonic() + START_SECONDS
        while (serving := model_server.serving(self.folder)) is None:
            if (fault := self._fault(champion)) is None:
                break
            if time.monotonic() > deadline:
                raise fault
            time.sleep(_POLL_SECONDS)
        return compare(self.model, serving, champion)

    def _fault(self, champion: ChampionState | None) -> SlipwayError | None:
        """Return why no server in this folder is a fault; None if it is none."""
        if model_server.serves(self.found_at, self.model):
            return ServedElsewhere(self.model, self.found_at)
        starts = model_server.next_version(self.folder)
        if not self.is_awaited or champion is None or champion.version == starts:
            return None
        home = self.folder.parent.parent
        return ServerMissing(self.model, champion.version, gethostname(), str(home))

    def preflight(self, candidate: Deploy) -> SwitchResult:
        """Start the candidate beside the serving version and check its golden prompts.

        Raises:
            MachineTooSmall: If there is not enough memory for both; nothing was started.
            VersionUnsigned: If it is as it was released, but before a signature was required.
        """
        version, limits = candidate.version, self._limits(candidate.size_bytes)

        def check() -> None:
            files = self._copy(version)
            with preflight(self.model, version, files, self.folder, limits) as address:
                golden_prompts.check(address, self.model, version, self.golden, self.key)

        return _timed(check)

    def switch(self, candidate: Deploy) -> SwitchResult:
        """Replace the workers; after a fault the version that was served is served again."""
        worker_seconds = self.limits.timeout_seconds + self.drain_seconds
        switch = RollingSwitch(self.model, self.folder, candidate.serving, worker_seconds)
        return _timed(lambda: switch.to(candidate.version))

    def _copy(self, version: int) -> VerifiedCopy:
        """Return a version's copy; a changed file counts before a signature that is missing."""
        request = CopyRequest(place=self.copies, name=self.model, version=version)
        try:
            return fetch(request)
        except VersionUnsigned:
            verify(request.model_copy(update={"decided": False}))
            raise

    def _limits(self, size_bytes: int) -> ProcessLimits:
        """Return the limits that leave the serving processes their memory."""
        free_bytes = memory.free_bytes() - _RESERVE_BYTES
        needed = needed_bytes(size_bytes)
        if needed > free_bytes:
            step = f"a second copy of {self.model} beside the serving one"
            advice = "free some memory and redeploy again, or restart the server with the champion"
            raise MachineTooSmall(step, "memory", needed, free_bytes, advice)
        return replace(self.limits, memory_bytes=self.limits.memory_bytes or free_bytes)


def needed_bytes(size_bytes: int) -> int:
    """Return the approximate memory of a second copy of a version.

    That is its files, 30 % for the cache and packed weights, and 600 MB for the processes.
    """
    return int(size_bytes * 1.3) + 600_000_000


def _timed(step: Callable[[], None]) -> SwitchResult:
    started, fault = time.monotonic(), None
    try:
        step()
    except CandidateFailed as error:
        fault = error.reason
    except VersionUnsigned:
        raise
    except (ArtifactChanged, VersionRefused) as error:
        fault = f"{error.version}: {error.reason}"
    except StepFailed as error:
        fault = _reason(error)
    return SwitchResult(seconds=time.monotonic() - started, fault=fault)


def _reason(error: StepFailed) -> str:
    """Return why a preflight server failed, without paths: the reason goes into the registry."""
    match error:
        case StepTimedOut():
            return f"it was not ready within {error.limit_seconds:.0f} s"
        case StepOutOfMemory():
            return f"it exceeded its memory limit at {error.peak_bytes / 1e9:.1f} GB"
        case StepCrashed():
            return f"it exited before it was ready: {error.reason}"
        case _:
            return str(error)
