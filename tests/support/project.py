"""Fixtures for tests that run the whole line on the tiny model, against real servers and stores.

Nothing heavy is imported here: pure tests must not pay for Prefect.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.support.cache import cached, copy_home

_WORKER = os.environ.get("PYTEST_XDIST_WORKER")

PROJECT = Path(__file__).resolve().parents[2]

#: Switched off, since they write to the same database file while a test waits for it.
_SERVICES = (
    "EVENT_PERSISTER",
    "TASK_RUN_RECORDER",
    "TRIGGERS",
    "SCHEDULER",
    "LATE_RUNS",
    "FOREMAN",
    "CANCELLATION_CLEANUP",
    "PAUSE_EXPIRATIONS",
    "REPOSSESSOR",
)

CATALOGUE = """\
[models.tiny]
title = "Tiny Phi-3"
source = {{ kind = "folder", path = "checkpoint", repo = "slipway/tiny-phi3" }}
recipe = {{ kind = "quantize", candidates = [{{ precision = "fp32" }}] }}
wrappers = {{ onnx = "{contract}" }}
suite = "brief"
texts = "brief"
licenses = ["mit"]

[models.tiny.gates]
compared_tokens = {{ min = 100 }}
"""


def printed_by(code: str, variables: Mapping[str, str], folder: Path = PROJECT) -> str:
    """Run Python code in a process of its own, and return what it printed.

    Args:
        code: The program, which has to succeed.
        variables: Its whole environment.
        folder: Where it runs.
    """
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=dict(variables),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Project:
    """A place of its own for one test: catalogue, checkpoint, expectations, home.

    Attributes:
        folder: Holds all of it.
    """

    folder: Path

    @property
    def home(self) -> Path:
        """Where Slipway keeps its state."""
        return self.folder / "home"

    @property
    def checkpoint(self) -> Path:
        """The source of the model ``tiny``."""
        return self.folder / "checkpoint"

    @property
    def catalogue(self) -> Path:
        """The catalogue; it has one model, ``tiny``."""
        return self.folder / "catalogue.toml"

    def edit(self, old: str, new: str) -> None:
        """Change the catalogue."""
        text = self.catalogue.read_text(encoding="utf-8")
        assert old in text
        self.catalogue.write_text(text.replace(old, new), encoding="utf-8")

    def follow(self, repository: str) -> None:
        """Take the model from a Hub instead of its folder."""
        folder = 'kind = "folder", path = "checkpoint", repo = "slipway/tiny-phi3"'
        self.edit(folder, f'kind = "hub", {repository}')

    def limit(self, gate: str) -> None:
        """Add a gate to the model's, as the catalogue writes it."""
        self.edit("[models.tiny.gates]", f"[models.tiny.gates]\n{gate}")

    def registry(self) -> Any:
        """Return the registry of this project."""
        from tasks.context import registry

        return registry()

    def versions(self) -> list[tuple[str, int, dict[str, int]]]:
        """Return every registered version, with the aliases of its model."""
        models = self.registry()
        found = models.client.search_model_versions("")
        return sorted((each.name, int(each.version), models.aliases(each.name)) for each in found)


@pytest.fixture(scope="session")
def prefect_backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run a real Prefect server for the session, on a database of its own."""
    os.environ["PREFECT_HOME"] = str(tmp_path_factory.mktemp("prefect"))
    os.environ["PREFECT_RESULTS_DEFAULT_SERIALIZER"] = "json"
    for name in (
        "LOGGING_TO_API",
        "SERVER_ANALYTICS",
        *(f"SERVER_SERVICES_{s}" for s in _SERVICES),
    ):
        os.environ[f"PREFECT_{name}_ENABLED"] = "false"

    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    with (
        prefect_test_harness(server_startup_timeout=180),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
    ):
        yield


@pytest.fixture
def project(
    tmp_path: Path, checkpoint: Path, prefect_backend: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Project]:
    """Give a test a place of its own, to which Slipway's settings point."""
    with laid_out(tmp_path, checkpoint, monkeypatch) as place:
        yield place


def made_once(
    tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]
) -> Path:
    """Return a folder that the first of a run's workers to ask for has filled with ``make``."""
    shared = tmp_path_factory.getbasetemp().parent if _WORKER else tmp_path_factory.getbasetemp()
    folder, done = shared / name, shared / f"{name}.done"
    with FileLock(shared / f"{name}.lock"):
        if not done.is_file():
            shutil.rmtree(folder, ignore_errors=True)  # what a failed attempt left
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def release_template(
    tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, prefect_backend: None
) -> Path:
    """Release the tiny model once for all workers of a run; nobody writes to its folder."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch, laid_out(folder, checkpoint, patch):
            from flows.release_model import release_model

            known = sorted(path.name for path in folder.iterdir())
            (folder / "known.json").write_text(json.dumps(known), encoding="utf-8")
            outcome = release_model("tiny")
            (folder / "release.json").write_text(outcome.model_dump_json(), encoding="utf-8")

    return made_once(tmp_path_factory, "first-release", make)


@pytest.fixture(scope="module")
def released(
    tmp_path_factory: pytest.TempPathFactory, release_template: Path
) -> Iterator[tuple[Project, Any]]:
    """Give the tests of a module a copy of one release of the tiny model, and its outcome."""
    folder = tmp_path_factory.mktemp("released")
    with pytest.MonkeyPatch.context() as patch:
        yield from _copied(release_template, folder, patch)


@pytest.fixture
def released_project(
    tmp_path: Path, release_template: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Project]:
    """Give one test a copy of a released project of its own, to change as it likes."""
    for place, _ in _copied(release_template, tmp_path / "released", monkeypatch):
        yield place


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Return how to run a command that prints JSON."""
    from commands.main import run

    def run_it(*arguments: str) -> Any:
        capsys.readouterr()  # MLflow prints where it ended a run
        assert run([*arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run_it


def _copied(source: Path, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[tuple[Project, Any]]:
    from slipway.values import Release

    copy_home(source, folder)
    outcome = Release.model_validate_json((folder / "release.json").read_bytes())
    with _pointed_to(Project(folder), patch) as place:
        place.registry()  # connects MLflow, as a release in this process would have
        yield place, outcome


def lay_out(folder: Path, checkpoint: Path) -> Project:
    """Put into a folder what a release of the tiny model needs."""
    place = Project(folder)
    shutil.copytree(checkpoint, place.checkpoint)
    (place.home / "mlflow").mkdir(parents=True)
    shutil.copy(empty_database(), place.home / "mlflow")
    place.catalogue.write_text(CATALOGUE.format(contract="prompt"), encoding="utf-8")
    shutil.copytree(PROJECT / "expectations", folder / "expectations")
    brief = folder / "expectations" / "prompts" / "brief.json"
    brief.write_text(json.dumps(_brief_prompts()), encoding="utf-8")
    texts = folder / "expectations" / "texts" / "brief"
    texts.mkdir()
    (texts / "said.txt").write_text(" ".join(_known()), encoding="utf-8")
    asked = [[{"role": "user", "content": question}] for question in _known()]
    (texts / "chat.json").write_text(json.dumps(asked), encoding="utf-8")
    return place


@contextmanager
def laid_out(folder: Path, checkpoint: Path, patch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Lay out a project in ``folder``, to which Slipway's settings point while the body runs."""
    with _pointed_to(lay_out(folder, checkpoint), patch) as place:
        yield place


@contextmanager
def _pointed_to(place: Project, patch: pytest.MonkeyPatch) -> Iterator[Project]:
    from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

    patch.setenv("SLIPWAY_HOME", str(place.home))
    patch.setenv("SLIPWAY_CATALOGUE", str(place.catalogue))
    patch.setenv("SLIPWAY_EXPECTATIONS", str(place.folder / "expectations"))
    patch.setenv("SLIPWAY_STEP_TIMEOUT_SECONDS", "1800")  # a busy machine needs minutes
    patch.setenv("SLIPWAY_SPEED_ROUNDS", "1")
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    patch.chdir(place.folder)
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: str(place.home / "results")}):
        yield place


def empty_database() -> Path:
    """Return an MLflow database without anything in it: making one takes seconds.

    From then on, this process leaves what it commits to the operating system.
    """
    _commit_without_sync()

    def make(folder: Path) -> None:
        code = f"import mlflow; mlflow.MlflowClient('sqlite:///{folder}/mlflow.db').search_experiments()"
        subprocess.run([sys.executable, "-c", code], check=True, cwd=folder, capture_output=True)

    return cached("mlflow", make) / "mlflow.db"


@cache
def _commit_without_sync() -> None:
    """Let SQLite not wait for the disk: a commit takes up to 20 ms, and no test cuts the power."""
    from sqlalchemy import Engine, event

    @event.listens_for(Engine, "connect")
    def relax(connection: Any, _record: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous=OFF")


def _known() -> list[str]:
    """Return the questions that the tiny model answers by heart."""
    from tests.support import tiny_phi3

    return list(tiny_phi3.CONVERSATIONS)


def _brief_prompts() -> list[dict[str, Any]]:
    """Return twelve questions that the tiny model's short context has room for."""
    known = _known()
    return [
        {
            "id": f"question-{index}",
            "purpose": "something that the tiny model knows by heart",
            "messages": [{"role": "user", "content": known[index % len(known)]}],
            "max_tokens": 64,
            "repeat": index == 0,
            "stop": ["harbour"] if index == 1 else [],
        }
        for index in range(12)
    ]
