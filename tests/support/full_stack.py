"""Everything that ``slipway up`` runs, on free ports and in a home of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import psutil

from slipway.system.network import answers, wait_until_answers
from tests.support.network import free_port
from tests.support.project import PROJECT, Project, lay_out

AUTH = "operator:a-long-enough-password"
SERVERS = ("prefect", "mlflow", "receiver", "worker", "release_worker", "serving")

_START_SECONDS = 240
_FIRST_CHAMPION_SECONDS = 400
_LONGEST_RUN_SECONDS = 900
_UNFINISHED = {"SCHEDULED", "PENDING", "RUNNING"}


@dataclass
class Running:
    """One ``slipway up``.

    Attributes:
        home: Where its state lives.
        environment: What it was started with, for commands that shall find it.
        said: File with all that it printed.
        process: Itself.
        family: Every process that was seen below it.
    """

    home: Path
    environment: Mapping[str, str]
    said: Path
    process: subprocess.Popen[bytes]
    family: set[psutil.Process] = field(default_factory=set)

    def url(self, server: str) -> str:
        """Return where one of its servers listens."""
        return self.environment[f"SLIPWAY_{server.upper()}_URL"]

    @property
    def auth(self) -> tuple[str, str]:
        """User and password of both servers: what it was started with, or what it generated."""
        chosen = self.environment.get("SLIPWAY_AUTH")
        text = chosen or (self.home / "secrets" / "auth").read_text(encoding="utf-8")
        user, _, password = text.partition(":")
        return user, password

    def prefect(self, path: str, body: Any, method: str = "POST") -> Any:
        """Ask Prefect's API as its own clients do: again, where its database was busy (503)."""
        client = {"Prefect-Csrf-Client": "a-test"}
        with httpx.Client(base_url=self.url("prefect"), auth=self.auth, timeout=60) as session:
            token = session.get("/api/csrf-token", params={"client": "a-test"}).json()["token"]
            headers = client | {"Prefect-Csrf-Token": token}
            for wait_seconds in (1, 2, 4, 8, 0):
                answer = session.request(method, f"/api{path}", json=body, headers=headers)
                if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                    break
                time.sleep(wait_seconds)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def wait_until_it_serves(self) -> None:
        """Wait for the first champion's server; a loaded machine takes its time."""
        deadline = time.monotonic() + _FIRST_CHAMPION_SECONDS
        while not answers(f"{self.url('serving')}/ready"):
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.5)

    def logs(self) -> str:
        """Return the last lines of every part's log, for whoever reads why a test failed."""
        logs = sorted(self.home.joinpath("logs").glob("up-*.log"))
        return "\n".join(f"{log}:\n{log.read_text(encoding='utf-8')[-2000:]}" for log in logs)

    def release(self, model: str) -> str:
        """Start a release as from the UI, and return the flow run's id."""
        found = self.prefect("/deployments/filter", {})
        deployment = next(each["id"] for each in found if each["name"] == "release-model")
        parameters = {"parameters": {"model": model}}
        return str(self.prefect(f"/deployments/{deployment}/create_flow_run", parameters)["id"])

    def run(self, run: str) -> Any:
        """Return a flow run as it is now."""
        return self.prefect(f"/flow_runs/{run}", None, "GET")

    def ended(self, run: str) -> Any:
        """Return a flow run when it has ended."""
        deadline = time.monotonic() + _LONGEST_RUN_SECONDS
        while (found := self.run(run))["state_type"] in _UNFINISHED:
            assert time.monotonic() < deadline, f"{self.log(run)}\n{self.logs()}"
            time.sleep(2)
        return found

    def log(self, run: str) -> str:
        """Return what a flow run has logged."""
        asked = {"logs": {"flow_run_id": {"any_": [run]}}, "limit": 200}
        return "\n".join(each["message"] for each in self.prefect("/logs/filter", asked))

    def wait_for_task(self, run: str, name: str) -> None:
        """Wait until a task of a flow run has begun, whose name begins so."""
        asked = {"flow_runs": {"id": {"any_": [run]}}}
        deadline = time.monotonic() + _LONGEST_RUN_SECONDS
        while not any(
            each["name"].startswith(name) for each in self.prefect("/task_runs/filter", asked)
        ):
            assert time.monotonic() < deadline, self.log(run)
            assert self.run(run)["state_type"] in _UNFINISHED, self.log(run)
            time.sleep(0.5)

    def versions(self, model: str) -> list[dict[str, str]]:
        """Return the tags of each version that a model has in MLflow."""
        address = f"{self.url('mlflow')}/api/2.0/mlflow/model-versions/search"
        asked = {"filter": f"name = '{model}'"}
        answer = httpx.get(address, params=asked, auth=self.auth, timeout=60).raise_for_status()
        found = answer.json().get("model_versions", [])
        return [{tag["key"]: tag["value"] for tag in each["tags"]} for each in found]

    def command(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run one of our modules beside it, with these variables too."""
        return subprocess.run(
            [sys.executable, *words],
            env=dict(self.environment) | more,
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    def look(self) -> set[psutil.Process]:
        """Note every process that runs below it now."""
        self.family |= set(psutil.Process(self.process.pid).children(recursive=True))
        return self.family

    def interrupt(self) -> int:
        """Press Ctrl-C, and return its exit code."""
        self.look()
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=60)


def environment(folder: Path, auth: str | None) -> dict[str, str]:
    """Return settings for a machine of its own: no variable of this one's servers is kept."""
    foreign = ("PREFECT_", "MLFLOW_", "SLIPWAY_", "HF_")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(foreign)}
    urls = {f"SLIPWAY_{each.upper()}_URL": f"http://127.0.0.1:{free_port()}" for each in SERVERS}
    return (
        kept
        | urls
        | ({"SLIPWAY_AUTH": auth} if auth else {})
        | {
            "PYTHONPATH": str(PROJECT),  # an empty part of it would be the current folder
            "SLIPWAY_HOME": str(folder / "home"),
            "SLIPWAY_CATALOGUE": str(folder / "catalogue.toml"),
            "SLIPWAY_EXPECTATIONS": str(folder / "expectations"),
            "SLIPWAY_SERVE": "tiny",
            "HF_ENDPOINT": "http://127.0.0.1:9",  # nothing listens there
        }
    )


def by_hand_alone(project: Project) -> None:
    """Let no schedule release anything, whatever the time of day."""
    project.edit("licenses", "automatic = false\nlicenses")


@contextmanager
def running(
    folder: Path,
    checkpoint: Path,
    more: Mapping[str, str] = MappingProxyType({}),
    *,
    auth: str | None = AUTH,
    arrange: Callable[[Project], None] = lambda _: None,
) -> Iterator[Running]:
    """Run everything until the end of the block, however it ends.

    Args:
        folder: Where; it is laid out for it.
        checkpoint: The model ``tiny``.
        more: Variables that it finds besides.
        auth: User and password of both servers; None to let it generate them.
        arrange: Changes what is there before anything starts.
    """
    arrange(lay_out(folder, checkpoint))
    variables, said = environment(folder, auth) | more, folder / "said.txt"
    with said.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", "from commands.main import main; main()", "up"],
            env=variables,
            cwd=PROJECT,
            stdout=output,
            stderr=output,
        )
    everything = Running(folder / "home", variables, said, process)
    try:
        _wait_for_table(everything)
        yield everything
    finally:
        if process.poll() is None:
            everything.interrupt()


@contextmanager
def serving(
    name: str, arguments: list[str], variables: Mapping[str, str], log: Path, health: str
) -> Iterator[None]:
    """Run one of our interpreter's programs as a server until the body ends.

    Args:
        name: Of the server, for errors.
        arguments: The interpreter's.
        variables: Its environment.
        log: File for what it prints.
        health: Address that answers once it is ready.
    """
    with log.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, *arguments], env=dict(variables), cwd=PROJECT, stdout=said, stderr=said
        )
    try:
        wait_until_answers(name, health, lambda: process.poll() is None)
        yield
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def prefect_server(folder: Path, variables: Mapping[str, str]) -> Iterator[str]:
    """Run the Prefect server alone, with its log in ``folder``; give its address."""
    url, command = variables["SLIPWAY_PREFECT_URL"], ["-m", "deployments.services", "prefect"]
    with serving("Prefect", command, variables, folder / "server.log", f"{url}/api/health"):
        yield url


@contextmanager
def mlflow_server(
    folder: Path, database: str = "", artifacts: str = "", auth: str | None = None
) -> Iterator[str]:
    """Run an MLflow server alone; its log, and what has no other address, is in ``folder``.

    Args:
        folder: Where; with ``auth``, its home.
        database: Address of its store.
        artifacts: Where it keeps artifacts.
        auth: User and password of its administrator, as ``slipway up`` sets them; None for a server
            that asks nobody.
    """
    url = f"http://127.0.0.1:{free_port()}"
    database = database or f"sqlite:///{folder}/mlflow.db"
    artifacts = artifacts or str(folder / "artifacts")
    store = ["--backend-store-uri", database, "--workers", "1"]
    where = ["--artifacts-destination", artifacts, "--port", url.rpartition(":")[2]]
    command, more = ["-m", "mlflow", "server", *store, *where], {}
    if auth:
        command = ["-m", "deployments.services", "mlflow"]
        more = {"SLIPWAY_HOME": str(folder), "SLIPWAY_MLFLOW_URL": url, "SLIPWAY_AUTH": auth}
    variables = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"} | more
    with serving("MLflow", command, variables, folder / "log", f"{url}/health"):
        yield url


def _wait_for_table(everything: Running) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while "Ctrl-C" not in (text := everything.said.read_text(encoding="utf-8")):
        assert everything.process.poll() is None, text
        assert time.monotonic() < deadline, text
        time.sleep(0.5)
