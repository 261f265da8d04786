"""The metrics that Prometheus reads: one page for all workers, from any of them.

Workers share files in ``PROMETHEUS_MULTIPROC_DIR``, which the supervisor sets before it starts
them. ``prometheus_client`` reads the variable when a metric is created, so all of them are created
in ``Metrics()``.
"""

import os
import re
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

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """The metrics of one worker."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        prefix = "slipway_serving"
        route = ["route"]
        self.requests = Counter(f"{prefix}_requests", "Responses", [*route, "status"])
        self.latency = Histogram(
            f"{prefix}_request_seconds",
            "From request to the end of its answer",
            route,
            buckets=_SECONDS,
        )
        self.first = Histogram(
            f"{prefix}_first_token_seconds",
            "From request to its first token",
            route,
            buckets=_SECONDS,
        )
        self.tokens = Counter(f"{prefix}_tokens", "Tokens of prompts and of answers", ["kind"])
        self.cancelled = Counter(
            f"{prefix}_cancelled", "Requests whose client left or whose time ran out"
        )
        self.restarts = Counter(f"{prefix}_engine_restarts", "Restarts of engines")
        live: Literal["livesum"] = "livesum"
        self.waiting = Gauge(f"{prefix}_queue", "Requests that wait", multiprocess_mode=live)
        self.busy = Gauge(f"{prefix}_busy", "Requests being answered", multiprocess_mode=live)
        self.workers = Gauge(
            f"{prefix}_workers",
            "Workers whose model is ready, by what they serve",
            ["model", "version"],
            multiprocess_mode=live,
        )

    def page(self) -> bytes:
        """Return the metrics of all workers in Prometheus's text format."""
        folder = Path(os.environ[FOLDER])
        for pid in {_pid(file) for file in folder.glob("gauge_live*.db")}:
            if not psutil.pid_exists(pid):
                multiprocess.mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
        return generate_latest(registry)


def _pid(file: Path) -> int:
    found = re.search(r"_(\d+)\.db$", file.name)
    return int(found[1]) if found else 0
