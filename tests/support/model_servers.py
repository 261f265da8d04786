"""Servers of the tiny model: real processes, reached over HTTP."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

MODEL = "tiny"
SPAIN = "What is the capital of Spain?"
PAGES = "https://chat.example"  # pages of this origin may use the server
MADRID = "The capital of Spain is Madrid."


@dataclass(frozen=True)
class Registered:
    """A home whose registry has two versions of the tiny model.

    Attributes:
        home: What SLIPWAY_HOME is.
        weights: The second version's file of weights in MLflow.
    """

    home: Path
    weights: Path

    @property
    def logged(self) -> Path:
        """The second version's folder in MLflow."""
        return self.weights.parents[2]

    def promote(self, version: int, alias: str = "champion") -> None:
        """Set an alias."""
        self.client().set_registered_model_alias(MODEL, alias, str(version))

    def tags(self, version: int) -> dict[str, str]:
        """Return a version's tags."""
        return dict(self.client().get_model_version(MODEL, str(version)).tags)

    def client(self) -> Any:
        """Return MLflow's client; what it asks of MLflow's own module goes there as well."""
        from slipway.tracking.location import MlflowLocation, connect

        folder = self.home / "mlflow"
        return connect(
            MlflowLocation(uri=f"sqlite:///{folder}/mlflow.db", artifacts=folder / "artifacts")
        )


@dataclass(frozen=True)
class Server:
    """A running server of the tiny model.

    Attributes:
        url: Its address.
        pid: Its supervisor.
        pointer: Its pointer file.
        log: Its output.
    """

    url: str
    pid: int
    pointer: Path
    log: Path

    def ready(self) -> httpx.Response:
        """Request ``/ready`` from a worker."""
        return httpx.get(f"{self.url}/ready", timeout=10)

    def chat(self, **fields: Any) -> httpx.Response:
        """Send a chat request with these fields."""
        url = f"{self.url}/v1/chat/completions"
        return httpx.post(url, json={"model": MODEL} | fields, timeout=60)

    def engines(self) -> list[psutil.Process]:
        """Return the processes that hold a model."""
        found = psutil.Process(self.pid).children(recursive=True)
        return [each for each in found if "slipway.serving.engine_process" in _command(each)]

    def figure(self, name: str, **labels: str) -> float:
        """Return the sum of the values of /metrics with this name and these labels."""
        return sum(
            sample.value
            for family in self.families()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def reaches(self, value: float, name: str, **labels: str) -> None:
        """Wait for a figure: a server counts a request after its client has the answer."""
        wait_until(lambda: self.figure(name, **labels) == value, 30)

    def families(self) -> list[Metric]:
        """Return what /metrics prints."""
        page = httpx.get(f"{self.url}/metrics", timeout=10).text
        return list(text_string_to_metric_families(page))


def leave(url: str, server: Server, body: dict[str, Any]) -> None:
    """Ask for a long answer, and close the connection once the model is at work on it.

    Args:
        url: Where to ask.
        server: The model's server.
        body: Of a chat request. The answer of a stream has begun when it is left.
    """
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    with closing(connection):
        headers = {"content-type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        wait_until(lambda: server.figure("slipway_serving_busy") == 1, 30)
        if body["stream"]:
            connection.getresponse().readline()


def is_at_work(process: psutil.Process) -> bool:
    """Return whether a process has not ended."""
    try:
        return process.is_running() and bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:  # it ended between the two
        return False


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it ended meanwhile
        return []


def wait_until(found: Callable[[], Any], seconds: float) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline, f"the condition was false for {seconds} s"
        time.sleep(0.05)


def point(file: Path, version: int) -> None:
    """Write the pointer file, as a redeploy does."""
    file.write_text(json.dumps({"model": MODEL, "version": version}), encoding="utf-8")


def start(home: Path, pointer: Path, **limits: str) -> subprocess.Popen[bytes]:
    """Start a server on a free port; its output goes into ``log`` beside its pointer file."""
    environment = {name: text for name, text in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    flags = ["--pointer", str(pointer), "--port", "0", "--workers", "1"]
    with (pointer.parent / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "slipway.serving", *flags],
            env=environment | {"SLIPWAY_HOME": str(home)} | limits,
            stdout=log,
            stderr=log,
        )


@contextmanager
def serving(home: Path, folder: Path, version: int, **limits: str) -> Iterator[Server]:
    """Serve a version with one worker while the body runs."""
    pointer, log, server_file = folder / "pointer.json", folder / "log", folder / "server.json"
    point(pointer, version)
    process = start(home, pointer, **limits)
    try:
        wait_until(lambda: server_file.is_file() or process.poll() is not None, 120)
        assert process.poll() is None, log.read_text(encoding="utf-8")
        server = json.loads(server_file.read_text(encoding="utf-8"))
        assert (server["pid"], server["workers"]) == (process.pid, 1)
        yield Server(f"http://{server['host']}:{server['port']}", process.pid, pointer, log)
    finally:
        process.terminate()
        assert process.wait(timeout=60) == 0
    assert not server_file.exists()
