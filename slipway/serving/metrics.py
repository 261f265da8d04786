"""The metrics that Prometheus reads: one page for all workers, from any of them.

Workers share files in ``PROMETHEUS_MULTIPROC_DIR``, which the supervisor sets before it starts
them. ``prometheus_client`` reads the variable when a metric is created, so all of them are created
in ``Metrics()``.

Names, labels and buckets that begin with ``gen_ai`` are those of OpenTelemetry's semantic
conventions for generative AI (``gen_ai.server.request.duration`` …), as Prometheus spells them. The
conventions end at a minute and a half; a request here may take longer, so larger buckets follow. No
label has a value that a client chooses.
"""

import contextlib
import os
import re
from functools import partial
from pathlib import Path
from typing import Literal

import psutil
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

from slipway.serving.engine import Engine
from slipway.serving.request_record import PROVIDER, RequestRecord, response_model

FOLDER = "PROMETHEUS_MULTIPROC_DIR"

DURATION = "gen_ai_server_request_duration_seconds"
FIRST_TOKEN = "gen_ai_server_time_to_first_token_seconds"  # noqa: S105 - no password
_TOKEN_TIME = "gen_ai_server_time_per_output_token_seconds"  # noqa: S105
_TOKENS = "gen_ai_client_token_usage"

_OWN = "slipway_serving"
_LONG_SECONDS = (163.84, 327.68)
_DURATION_SECONDS = (*(0.01 * 2**power for power in range(14)), *_LONG_SECONDS)
_FIRST_SECONDS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, *_LONG_SECONDS),
)
_TOKEN_SECONDS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_TOKEN_COUNTS = tuple(4**power for power in range(11))  # to a million


class Metrics:
    """The metrics of one worker, which serves one version.

    Args:
        model: Name of the registered model.
        version: Its version.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, model: str, version: int) -> None:
        self._version = {"model": model, "version": str(version)}
        self._gen_ai = {
            "gen_ai_provider_name": PROVIDER,
            "gen_ai_request_model": model,
            "gen_ai_response_model": response_model(model, version),
        }
        self._counted = (0, 0)
        self._create_histograms()
        self._create_own(tuple(self._version))

    def _create_histograms(self) -> None:
        histogram = partial(Histogram, registry=None)  # the page is read from the files
        labels = ("gen_ai_operation_name", *self._gen_ai)
        self._duration = histogram(
            DURATION,
            "From a request to the end of its answer",
            (*labels, "error_type"),
            buckets=_DURATION_SECONDS,
        )
        self._first = histogram(
            FIRST_TOKEN, "From a request to its first token", labels, buckets=_FIRST_SECONDS
        )
        self._token_time = histogram(
            _TOKEN_TIME, "Time for a token after the first", labels, buckets=_TOKEN_SECONDS
        )
        self._tokens = histogram(
            _TOKENS,
            "Tokens of a request, and of its answers",
            (*labels, "gen_ai_token_type"),
            buckets=_TOKEN_COUNTS,
        )

    def _create_own(self, labels: tuple[str, ...]) -> None:
        live: Literal["livesum"] = "livesum"
        counter = partial(Counter, namespace=_OWN, registry=None)
        gauge = partial(Gauge, namespace=_OWN, registry=None, multiprocess_mode=live)
        self._requests = counter("requests", "Responses", (*labels, "route", "status"))
        self._cancelled = counter(
            "cancelled", "Requests whose client left or whose time ran out", labels
        )
        self._restarts = counter("engine_restarts", "Restarts of engines", labels)
        self._waiting = gauge("queue", "Requests that wait", labels)
        self._busy = gauge("busy", "Requests being answered", labels)
        self._workers = gauge("workers", "Workers whose model is ready", labels)
        self._lanes = gauge("lanes", "Batches, and answers that no batch takes", labels)
        self._rows = gauge("rows", "Answers in the lanes", labels)
        self._cache = gauge("cache_tokens", "Tokens for which caches have memory", labels)
        self._cache_limit = gauge("cache_limit_tokens", "Limit of the tokens in caches", labels)

    def update(self, engine: Engine) -> None:
        """Copy the state of the worker's engine."""
        served, alive = engine.served, engine.alive
        for gauge, value in (
            (self._waiting, engine.waiting),
            (self._busy, engine.inside),
            (self._workers, served is not None),
            (self._lanes, alive.lanes),
            (self._rows, alive.rows),
            (self._cache, alive.cache_tokens),
            (self._cache_limit, served.cache_tokens if served else 0),
        ):
            gauge.labels(**self._version).set(value)
        counts = (engine.cancelled, engine.restarts)
        for counter, count, before in zip(
            (self._cancelled, self._restarts), counts, self._counted, strict=True
        ):
            counter.labels(**self._version).inc(count - before)
        self._counted = counts

    def count(self, record: RequestRecord) -> None:
        """Count a response and, if the model was asked, its times and tokens."""
        self._requests.labels(**self._version, route=record.route, status=str(record.status)).inc()
        if not record.operation:
            return
        labels = {"gen_ai_operation_name": record.operation} | self._gen_ai
        error = record.error_type
        self._duration.labels(**labels, error_type=error).observe(record.seconds)
        if record.first_seconds is None:
            return
        usage = record.usage
        for kind, tokens in (("input", usage.prompt_tokens), ("output", usage.completion_tokens)):
            self._tokens.labels(**labels, gen_ai_token_type=kind).observe(tokens)
        if error:
            return
        self._first.labels(**labels).observe(record.first_seconds)
        if usage.completion_tokens > 1:
            seconds = (record.seconds - record.first_seconds) / (usage.completion_tokens - 1)
            self._token_time.labels(**labels).observe(seconds)

    def page(self) -> bytes:
        """Return the metrics of all workers in Prometheus's text format."""
        folder = Path(os.environ[FOLDER])
        for pid in {_pid(file) for file in folder.glob("gauge_live*.db")}:
            if not psutil.pid_exists(pid):
                with contextlib.suppress(FileNotFoundError):  # another worker does the same now
                    multiprocess.mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
        return generate_latest(registry)


def _pid(file: Path) -> int:
    found = re.search(r"_(\d+)\.db$", file.name)
    return int(found[1]) if found else 0
