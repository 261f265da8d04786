"""One worker's service: its engine, its limits, its figures."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from slipway.serving.completions import UsageCounter, parts
from slipway.serving.engine import Engine, Job
from slipway.serving.metrics import Metrics
from slipway.serving.pointer import Pointer
from slipway.serving.protocol import Load, TextDelta


@dataclass(frozen=True)
class RequestLimits:
    """What one request may cost.

    Attributes:
        queue: Requests that may wait.
        max_tokens: Most tokens of one answer.
        request_seconds: Longest time, the wait in the queue included.
    """

    queue: int
    max_tokens: int
    request_seconds: float


class ModelService:
    """What the routes serve.

    Args:
        load: Which version is served, and where MLflow keeps it.
        limits: What one request may cost.

    Attributes:
        engine: Answers.
        metrics: What it did.
        started: When, in seconds of Unix time.
    """

    def __init__(self, load: Load, limits: RequestLimits) -> None:
        self.limits = limits
        self.metrics = Metrics()
        self.engine = Engine(load, limits.queue, self._observe)
        self.started = int(time.time())
        self._restarts = 0

    @property
    def pointer(self) -> Pointer:
        """What was to be served when the worker started."""
        return self.engine.pointer

    @property
    def fingerprint(self) -> str:
        """What answers the requests, for their ``system_fingerprint``."""
        return f"{self.pointer.model}-{self.pointer.version}-{self.engine.require().digest[:12]}"

    async def answer(self, job: Job, tally: UsageCounter, route: str) -> AsyncIterator[TextDelta]:
        """Yield the parts of an answer; stop the engine's work on it when nobody takes them.

        Raises:
            NotServing: If the engine died.
            Problem: If the model refused the request, or failed at it.
            TimeoutError: If it took longer than a request may.
        """
        started = time.monotonic()
        deadline = asyncio.get_running_loop().time() + self.limits.request_seconds
        said = parts(job, tally)
        try:
            while True:
                async with asyncio.timeout_at(deadline):
                    part = await anext(said, None)
                if part is None:
                    break
                if part.index == 0 and part.completion_tokens == 1:
                    self.metrics.first.labels(route).observe(time.monotonic() - started)
                yield part
        finally:
            if not job.ended:
                self.metrics.cancelled.inc()
            job.cancel()
            self._count(tally)

    def _observe(self) -> None:
        engine, pointer = self.engine, self.pointer
        self.metrics.waiting.set(engine.waiting)
        self.metrics.busy.set(engine.busy)
        self.metrics.workers.labels(pointer.model, pointer.version).set(engine.served is not None)
        self.metrics.restarts.inc(engine.restarts - self._restarts)
        self._restarts = engine.restarts

    def _count(self, tally: UsageCounter) -> None:
        usage = tally.usage
        self.metrics.tokens.labels("prompt").inc(usage.prompt_tokens)
        self.metrics.tokens.labels("completion").inc(usage.completion_tokens)
