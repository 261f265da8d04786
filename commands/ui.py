"""``slipway ui``: both UIs over our state, on loopback."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from urllib.parse import urlsplit

from commands import console
from slipway.errors import Unreachable
from slipway.settings import Settings, environment

_WAIT_SECONDS = 180


def ui() -> int:
    """Start the Prefect and MLflow UIs on loopback; Ctrl-C stops both."""
    settings = Settings()
    settings.mlflow.mkdir(parents=True, exist_ok=True)
    servers = {
        settings.prefect_url: _prefect(settings.prefect_url),
        settings.mlflow_url: _mlflow(settings),
    }
    variables = os.environ | environment(settings)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    processes = {url: _start(command, variables) for url, command in servers.items()}
    try:
        for url, process in processes.items():
            _wait_for(url, process)
        what = ("Prefect: runs and reports", "MLflow: models and figures")
        console.facts("Ctrl-C stops both", dict(zip(what, servers, strict=True)))
        while all(process.poll() is None for process in processes.values()):
            time.sleep(0.5)
    except KeyboardInterrupt:
        print("stopping")
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.wait(timeout=30)
    return 0


def _prefect(url: str) -> list[str]:
    host, port = _address(url)
    return ["-m", "prefect", "server", "start", "--host", host, "--port", port]


def _mlflow(settings: Settings) -> list[str]:
    host, port = _address(settings.mlflow_url)
    store = ["--backend-store-uri", settings.registry]
    artifacts = ["--default-artifact-root", str(settings.mlflow / "artifacts")]
    place = ["--host", host, "--port", port, "--allowed-hosts", f"{host}:{port},localhost:{port}"]
    return ["-m", "mlflow", "server", *store, *artifacts, *place, "--workers", "1"]


def _address(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", str(parts.port or 80)


def _start(command: list[str], variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *command],
        env=dict(variables),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2).close()  # noqa: S310 - our own address
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise Unreachable("the UI", url, "it did not start; is the port taken?")
