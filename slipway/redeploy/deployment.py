"""The steps of one model's redeploy, each of which may be the last that is reached.

A fault of the candidate is a value; an error is a fault of the machine, and says nothing about it.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
from filelock import FileLock

from slipway.errors import (
    CandidateFailed,
    MachineTooSmall,
    StepCrashed,
    StepFailed,
    StepOutOfMemory,
    StepTimedOut,
)
from slipway.redeploy import golden_prompts, model_server
from slipway.redeploy.compare import compare, needed_bytes
from slipway.redeploy.golden_prompts import GoldenPrompts
from slipway.redeploy.preflight import PreflightConfig, free_port, preflight
from slipway.redeploy.rolling_switch import Rolling
from slipway.redeploy.values import RedeployDecision, Switch, SwitchResult, Wanted
from slipway.serving import model_cache
from slipway.system.process import ProcessLimits

#: What a trial leaves to those that serve, whatever it would take.
_RESERVE_BYTES = 300_000_000


@dataclass(frozen=True)
class Deployment:
    """Where one model is served, and what a candidate must show there.

    Attributes:
        model: Name of the registered model.
        folder: Of its server: the pointer file, and ``server.json``.
        locks: Folder for the lock that makes redeploys one at a time.
        limits: Of a trial: time until it is ready, memory, and where its log goes.
        golden: What it is asked.
        drain_seconds: Longest that a worker which is replaced may take for what it has begun.
        port: Names the port of a trial.
    """

    model: str
    folder: Path
    locks: Path
    limits: ProcessLimits
    golden: GoldenPrompts
    drain_seconds: float
    port: Callable[[], int] = free_port

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no other redeploy of this model is at work."""
        self.locks.mkdir(parents=True, exist_ok=True)
        with FileLock(self.locks / f"redeploy-{self.model}.lock"):
            yield

    def compare(self, wanted: Wanted | None) -> RedeployDecision:
        """Return what is to be done, after asking the server which version answers."""
        return compare(self.model, model_server.serving(self.folder), wanted)

    def rehearse(self, version: int, size_bytes: int) -> SwitchResult:
        """Start ``version`` beside what serves, and ask it the golden prompts.

        Raises:
            MachineTooSmall: If memory has no room for both at once; nothing was started.
            AddressTaken: If no port could be had.
        """
        limits = self._limits(size_bytes)
        started = time.monotonic()
        try:
            with preflight(
                self.model, version, PreflightConfig(self.folder, limits, self.port)
            ) as address:
                golden_prompts.ask(address, self.model, version, self.golden)
        except CandidateFailed as error:
            return SwitchResult(seconds=time.monotonic() - started, fault=error.reason)
        except StepFailed as error:
            return SwitchResult(seconds=time.monotonic() - started, fault=_words(error))
        return SwitchResult(seconds=time.monotonic() - started)

    def rolling(self, before: int) -> Rolling:
        """Return the default switch, which goes back to ``before`` if it fails."""
        worker_seconds = self.limits.timeout_seconds + self.drain_seconds
        return Rolling(self.model, self.folder, before, worker_seconds)

    def keep_copies(self, *versions: int) -> None:
        """Remove what was fetched of all other versions; nobody loads them any more."""
        model_cache.keep(self.folder / model_cache.FOLDER, set(versions))

    def _limits(self, size_bytes: int) -> ProcessLimits:
        """Return what a trial may use, so that those that serve keep what they have."""
        free_bytes = psutil.virtual_memory().available - _RESERVE_BYTES
        needed = needed_bytes(size_bytes)
        if needed > free_bytes:
            step = f"a second copy of {self.model}, beside the one that serves,"
            advice = "close something and redeploy again, or restart the server with the champion"
            raise MachineTooSmall(step, "memory", needed, free_bytes, advice)
        return replace(self.limits, memory_bytes=self.limits.memory_bytes or free_bytes)


def _words(error: StepFailed) -> str:
    """Say what a trial died of, without this machine's paths: it is kept in the registry."""
    match error:
        case StepTimedOut():
            said = f"it was not ready within {error.limit_seconds:.0f} s"
        case StepOutOfMemory():
            said = f"it was ended for memory at {error.peak_bytes / 1e9:.1f} GB"
        case StepCrashed():
            said = f"it ended before it was ready: {error.reason}"
        case _:
            said = str(error)
    return said


def deploy(switch: Switch, version: int) -> SwitchResult:
    """Return how ``switch`` went."""
    started = time.monotonic()
    try:
        switch(version)
    except CandidateFailed as error:
        return SwitchResult(seconds=time.monotonic() - started, fault=error.reason)
    return SwitchResult(seconds=time.monotonic() - started)
