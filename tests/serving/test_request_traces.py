"""One span a request for whoever sets an endpoint, without a text; no import for the others."""

import os
from pathlib import Path

import httpx
import pytest

from tests.support.collector import attributes, collecting
from tests.support.model_servers import MODEL, SPAIN, Registered, serving
from tests.support.project import printed_by

SPAN, TRACE = "00f067aa0ba902b7", "4bf92f3577b34da6a3ce929d0e0e4736"
LOOK = """
import sys, slipway.serving.app
print([each for each in sys.modules if each in {"opentelemetry.sdk", "opentelemetry.exporter"}])
"""


def test_a_worker_imports_the_exporter_only_if_spans_are_sent() -> None:
    """Without an endpoint its start is as fast as before; FastAPI imports OpenTelemetry's API."""
    variables = {name: text for name, text in os.environ.items() if not name.startswith("OTEL_")}

    assert printed_by(LOOK, variables).strip() == "[]"


def test_each_request_is_a_span_without_a_text(registered: Registered, tmp_path: Path) -> None:
    """Below the client's own; what is left is sent when the worker ends."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    parent = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
    body = {"model": MODEL, "messages": [{"role": "user", "content": SPAIN}], "max_tokens": 3}
    with collecting() as collector:
        endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        with serving(registered.home, tmp_path, 1, **endpoint) as server:
            url = f"{server.url}/v1/chat/completions"
            answer = httpx.post(url, json=body, headers=parent, timeout=60)
            server.chat(messages=[])
            server.ready()
    answered, refused = sorted(collector.spans, key=lambda span: span.end_time_unix_nano)
    sent = b"".join(collector.bodies)

    usage, found = answer.json()["usage"], attributes(answered)
    assert (answered.trace_id.hex(), answered.parent_span_id.hex()) == (TRACE, SPAN)
    assert answered.name == f"chat {MODEL}"
    nanoseconds = answered.end_time_unix_nano - answered.start_time_unix_nano
    assert 0 < found.pop("gen_ai.response.time_to_first_chunk") * 1e9 < nanoseconds
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "slipway",
        "gen_ai.request.model": MODEL,
        "gen_ai.response.model": f"{MODEL}:1",
        "gen_ai.response.finish_reasons": ["length"],
        "gen_ai.usage.input_tokens": usage["prompt_tokens"],
        "gen_ai.usage.output_tokens": usage["completion_tokens"],
        "http.response.status_code": 200,
        "http.route": "/v1/chat/completions",
        "slipway.model.version": 1,
    }
    assert attributes(refused)["error.type"] == "400"
    assert b"Spain" not in sent
    assert answer.json()["choices"][0]["message"]["content"].encode() not in sent
