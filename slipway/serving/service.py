"""What a worker's routes use: its engine, the limits of a request, and the metrics."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from slipway.serving.api_errors import ApiError
from slipway.serving.engine import Engine, Job
from slipway.serving.metrics import Metrics
from slipway.serving.protocol import End, Load, Pointer, TextDelta
from slipway.serving.responses import UsageCounter


@dataclass(frozen=True)
class RequestLimits:
    """What one request may cost.

    Attributes:
        queue: Requests that may wait.
        max_tokens: Limit of new tokens of one answer.
        request_seconds: Time limit, including the wait in the queue.
    """

    queue: int
    max_tokens: int
    request_seconds: float


class ModelService:
    """Serves one version.

    Attributes:
        engine: Generates the answers.
        started: Unix time in seconds.
    """

    def __init__(self, load: Load, limits: RequestLimits) -> None:
        self.limits = limits
        self.metrics = Metrics()
        self.engine = Engine(load, limits.queue, self._update_metrics)
        self.started = int(time.time())
        self._restarts = 0

    @property
    def pointer(self) -> Pointer:
        """The version that the pointer file named when the worker started."""
        return self.engine.pointer

    @property
    def fingerprint(self) -> str:
        """The ``system_fingerprint`` of answers: model, version and digest."""
        return f"{self.pointer.model}-{self.pointer.version}-{self.engine.require().digest[:12]}"

    async def answer(self, job: Job, counter: UsageCounter, route: str) -> AsyncIterator[TextDelta]:
        """Yield the deltas of an answer and count them; cancel the job if the caller stops early.

        Raises:
            NotServing: If the engine exited.
            ApiError: If the model refused the request or failed.
            TimeoutError: If the answer took longer than a request may.
        """
        started = time.monotonic()
        deadline = asyncio.get_running_loop().time() + self.limits.request_seconds
        try:
            while True:
                async with asyncio.timeout_at(deadline):
                    event = await job.next_event()
                if isinstance(event, End):
                    _require_done(event)
                    return
                counter.add(event)
                if event.index == 0 and event.completion_tokens == 1:
                    self.metrics.first.labels(route).observe(time.monotonic() - started)
                yield event
        finally:
            if not job.ended:
                self.metrics.cancelled.inc()
            job.cancel()
            self.metrics.tokens.labels("prompt").inc(counter.usage.prompt_tokens)
            self.metrics.tokens.labels("completion").inc(counter.usage.completion_tokens)

    def _update_metrics(self) -> None:
        engine, pointer = self.engine, self.pointer
        self.metrics.waiting.set(engine.waiting)
        self.metrics.busy.set(engine.busy)
        self.metrics.workers.labels(pointer.model, pointer.version).set(engine.served is not None)
        self.metrics.restarts.inc(engine.restarts - self._restarts)
        self._restarts = engine.restarts


def _require_done(end: End) -> None:
    if end.outcome == "refused":
        # A released wrapper reports both faults as ValueError; only its text tells them apart.
        too_long = "don't fit a context" in end.reason
        code = "context_length_exceeded" if too_long else "invalid_value"
        raise ApiError(400, end.reason, code=code)
    if end.outcome == "failed":
        raise ApiError(500, f"the model failed: {end.reason}", code="model_failed")
