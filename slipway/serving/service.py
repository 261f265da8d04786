"""What a worker's routes use: its engine, the limits of a request, and the metrics."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping

from slipway.serving.api_errors import NO_RETRY, ApiError
from slipway.serving.engine import Engine, EngineLimits, Job
from slipway.serving.loading import Source
from slipway.serving.metrics import Metrics
from slipway.serving.protocol import End, Pointer, TextDelta
from slipway.serving.request_record import RequestRecord
from slipway.serving.request_traces import request_traces
from slipway.serving.responses import UsageCounter


class ModelService:
    """Serves the version that the pointer file named when the worker started.

    Attributes:
        engine: Generates the answers.
        started: Unix time in seconds.
    """

    def __init__(self, pointer: Pointer, source: Source, limits: EngineLimits) -> None:
        self.limits = limits
        self.metrics = Metrics(pointer.model, pointer.version)
        self._traces = request_traces(pointer.model, pointer.version)
        self.engine = Engine(pointer, source, limits, self._update_metrics)
        self.started = int(time.time())

    @property
    def pointer(self) -> Pointer:
        """The served version."""
        return self.engine.pointer

    @property
    def fingerprint(self) -> str:
        """The ``system_fingerprint`` of answers."""
        return f"{self.pointer.model}-{self.pointer.version}-{self.engine.require().digest[:12]}"

    async def answer(
        self, job: Job, counter: UsageCounter, record: RequestRecord, guidance_place: str
    ) -> AsyncIterator[TextDelta]:
        """Yield the deltas of an answer and count them; cancel the job if the caller stops early.

        Args:
            job: The request in the engine.
            counter: Of its answer.
            record: For the metrics.
            guidance_place: The field of the request that the engine calls ``guidance``.

        Raises:
            NotServing: If the engine exited.
            ApiError: If the model refused the request or failed.
            TimeoutError: If the answer took longer than a request may.
        """
        record.counter = counter
        try:
            while isinstance(event := await job.next_event(), TextDelta):
                counter.add(event)
                record.note_token()
                yield event
            _require_done(event, guidance_place)
            record.complete = True
        finally:
            job.cancel()

    def ended(self, record: RequestRecord, headers: Mapping[str, str]) -> None:
        """Count a request, and send its span if that is asked for."""
        self.metrics.count(record)
        if self._traces:
            self._traces.add(record, headers)

    async def stop(self) -> None:
        """End the engine, and send the spans that are left."""
        await self.engine.stop()
        if self._traces:
            await asyncio.to_thread(self._traces.stop)

    def _update_metrics(self) -> None:
        self.metrics.update(self.engine)


def _require_done(end: End, guidance_place: str) -> None:
    if end.outcome == "refused":
        param, reason = end.param, end.reason
        if param == "guidance":
            shown = " ".join(reason.replace(param, guidance_place, 1).split())  # it quotes patterns
            param, reason = guidance_place, f"{shown:.300}"
        raise ApiError(400, reason, param=param, code=end.code)
    if end.outcome == "failed":
        text = f"the model failed: {end.reason}"
        raise ApiError(500, text, code="model_failed", headers=NO_RETRY)
