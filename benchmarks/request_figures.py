"""What the metrics and the span of one request cost a worker, in microseconds of the processor.

Spans go to an address of this machine where nobody listens, as they do while a collector is down.
"""

import os
import tempfile
import time
from collections.abc import Callable

REQUESTS = 2_000


def main() -> None:
    """Print a line for each."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # read when the library is imported
        from slipway.serving.metrics import Metrics

        metrics = Metrics("tiny", 1)
        print(f"metrics {cost(lambda: metrics.count(record())) - cost(record):.0f} µs")
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:9"
        from slipway.serving.request_traces import RequestTraces

        traces = RequestTraces("tiny", 1)
        print(f"span    {cost(lambda: traces.add(record(), {})) - cost(record):.0f} µs")


def record() -> object:
    """Return the record of an answer of three tokens."""
    from slipway.serving.protocol import TextDelta
    from slipway.serving.request_record import RequestRecord
    from slipway.serving.responses import UsageCounter

    made = RequestRecord(counter=UsageCounter(1), status=200, complete=True)
    delta = {"request_id": 1, "index": 0, "text": "a", "prompt_tokens": 5, "completion_tokens": 3}
    made.counter.add(TextDelta(**delta, finish_reason="stop"))
    made.note_token()
    made.end("/v1/chat/completions")
    return made


def cost(work: Callable[[], object]) -> float:
    """Return the processor's microseconds of this thread for one call."""
    work()
    started = time.thread_time()
    for _ in range(REQUESTS):
        work()
    return (time.thread_time() - started) / REQUESTS * 1e6


if __name__ == "__main__":
    main()
