"""One OpenTelemetry span a request, sent to ``OTEL_EXPORTER_OTLP_ENDPOINT`` if that is set.

Names are those of the conventions for generative AI. A span has numbers and names, and never a text
of a prompt or an answer. OpenTelemetry is imported only where spans are sent.
"""

import os
import time
from collections.abc import Mapping
from typing import Any

from slipway.serving.request_record import PROVIDER, RequestRecord, response_model

#: Any of them switches the spans on; the exporter reads them, and the other standard variables.
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_SERVER_FAULTS = 500
_BILLION = 1_000_000_000


class RequestTraces:
    """Sends spans from a thread of its own, in batches; what cannot be sent is dropped and logged.

    Args:
        model: Name of the registered model.
        version: Its version.
    """

    def __init__(self, model: str, version: int) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self._model, self._version = model, version
        named = Resource({"service.name": "slipway"}).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=named, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("slipway.serving")

    def add(self, record: RequestRecord, headers: Mapping[str, str]) -> None:
        """Send the span of a request that has ended, below the one that ``traceparent`` names."""
        if not record.operation:
            return
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        ended = time.time_ns()
        span = self._tracer.start_span(
            f"{record.operation} {self._model}",
            TraceContextTextMapPropagator().extract(headers),
            SpanKind.SERVER,
            self._attributes(record),
            start_time=ended - int(record.seconds * _BILLION),
        )
        if record.error_type and int(record.error_type) >= _SERVER_FAULTS:
            from opentelemetry.trace import StatusCode

            span.set_status(StatusCode.ERROR)
        span.end(ended)

    def stop(self) -> None:
        """Send what is left."""
        self._provider.shutdown()

    def _attributes(self, record: RequestRecord) -> dict[str, Any]:
        found: dict[str, Any] = {
            "gen_ai.operation.name": record.operation,
            "gen_ai.provider.name": PROVIDER,
            "gen_ai.request.model": self._model,
            "gen_ai.response.model": response_model(self._model, self._version),
            "slipway.model.version": self._version,
            "http.route": record.route,
            "http.response.status_code": record.status,
        }
        if record.error_type:
            found["error.type"] = record.error_type
        if record.counter and record.first_seconds is not None:
            found["gen_ai.response.finish_reasons"] = list(record.counter.finish_reasons.values())
            found["gen_ai.response.time_to_first_chunk"] = record.first_seconds
            found["gen_ai.usage.input_tokens"] = record.usage.prompt_tokens
            found["gen_ai.usage.output_tokens"] = record.usage.completion_tokens
        return found


def request_traces(model: str, version: int) -> RequestTraces | None:
    """Return what sends spans; None if no endpoint is set."""
    return RequestTraces(model, version) if any(map(os.environ.get, _ENDPOINTS)) else None
