"""Commands that are killed at a failpoint, in copies of homes that are made once.

A home has the checkpoint, what was built and measured of it, and a registry. So a release in a copy
begins with logging, and takes seconds.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.support.cache import copy_home
from tests.support.project import PROJECT, Project, lay_out

#: Whether the faults that take hours are tried too, as `make faults` does.
ALL = os.environ.get("CRASHES") == "all"

PROGRAM = "from commands.main import main; main()"
_CALL = re.compile(r'\bfailpoint\("([^"]+)"\)')

#: Where each failpoint is met, by the first part of its name.
PLACES = {
    "download": "cold",
    "store": "cold",
    **dict.fromkeys(("log", "register", "publish", "seal", "alias", "promote", "event"), "warm"),
    "withdraw": "failing",
    "recover": "recovering",
    **dict.fromkeys(("preflight", "pointer", "switch", "watch", "redeploy"), "served"),
    "server": "serving",
    **dict.fromkeys(("land", "promoted"), "promoting"),
}


def failpoints() -> list[str]:
    """Return the names of all failpoints, as often as the sources have them."""
    sources = (file for part in ("slipway", "tasks") for file in (PROJECT / part).rglob("*.py"))
    return sorted(
        name for file in sources for name in _CALL.findall(file.read_text(encoding="utf-8"))
    )


@dataclass(frozen=True)
class Scene:
    """A home in which commands run, against a Prefect server that many share.

    Attributes:
        project: Its folder.
        variables: The environment of the commands.
    """

    project: Project
    variables: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, folder: Path, prefect: str) -> "Scene":
        """Return the scene in ``folder``, whose commands use the Prefect server at this address."""
        foreign = ("PREFECT_", "MLFLOW_", "SLIPWAY_", "HF_")
        kept = {name: text for name, text in os.environ.items() if not name.startswith(foreign)}
        kept.pop("TMPDIR", None)
        return cls(
            Project(folder),
            kept
            | {
                "PREFECT_API_URL": prefect,
                "PYTHONPATH": str(PROJECT),
                "SLIPWAY_HOME": str(folder / "home"),
                "SLIPWAY_CATALOGUE": str(folder / "catalogue.toml"),
                "SLIPWAY_EXPECTATIONS": str(folder / "expectations"),
                "SLIPWAY_SPEED_ROUNDS": "1",
                "SLIPWAY_PASS_VARIABLES": "SLIPWAY_FAILPOINT",
                "PREFECT_LOGGING_TO_API_ENABLED": "false",
            },
        )

    @property
    def home(self) -> Path:
        """Where Slipway keeps its state."""
        return self.project.home

    def start(
        self, command: list[str], failpoint: str = "", before: Sequence[str] = ()
    ) -> subprocess.Popen[bytes]:
        """Start a command of the command line; its output goes to ``said.txt``.

        Args:
            command: Its words.
            failpoint: Where it is killed.
            before: What starts it, such as ``unshare``.
        """
        with (self.project.folder / "said.txt").open("wb") as said:
            return subprocess.Popen(
                [*before, sys.executable, "-c", PROGRAM, *command],
                env={**self.variables, "SLIPWAY_FAILPOINT": failpoint},
                cwd=self.project.folder,
                stdout=said,
                stderr=said,
            )

    def run(self, command: list[str], failpoint: str = "", before: Sequence[str] = ()) -> int:
        """Run a command and return its exit status."""
        return self.start(command, failpoint, before).wait(300)

    def said(self) -> str:
        """Return what the last command printed."""
        return (self.project.folder / "said.txt").read_text(encoding="utf-8", errors="replace")

    def was_killed_at(self, failpoint: str) -> bool:
        """Return whether a process of this home was killed there: the command or a child."""
        logs = (*self.home.glob("logs/*.log"), self.project.folder / "said.txt")
        line = f"killed at {failpoint}\n"
        return any(line in log.read_text(encoding="utf-8", errors="replace") for log in logs)

    def client(self) -> Any:
        """Return MLflow's client for the registry of this home."""
        from mlflow import MlflowClient

        database = f"sqlite:///{self.home / 'mlflow' / 'mlflow.db'}"
        return MlflowClient(database, database)  # another test may have set a registry

    def without_prefect(self) -> "Scene":
        """Return the same home, whose commands start a Prefect server of their own."""
        variables = dict(self.variables)
        del variables["PREFECT_API_URL"]
        return replace(self, variables=variables)

    def copied_to(self, folder: Path) -> "Scene":
        """Return a copy in another folder."""
        copy_home(self.project.folder, folder)
        before, after = str(self.project.folder), str(folder)
        return Scene(
            Project(folder),
            {name: text.replace(before, after) for name, text in self.variables.items()},
        )


def made(folder: Path, checkpoints: tuple[Path, Path], prefect: str) -> tuple[Scene, Scene]:
    """Return a home with one release of the first checkpoint, and one with one of both.

    In the former, the second one is built and measured, so that its release begins with logging.
    """
    first, second = checkpoints
    project = lay_out(folder / "one", first)
    scene = Scene.of(project.folder, prefect)
    assert scene.run(["release", "tiny"]) == 0, scene.said()
    shutil.copytree(project.home / "mlflow", folder / "before")
    shutil.rmtree(project.checkpoint)
    shutil.copytree(second, project.checkpoint)
    assert scene.run(["release", "tiny"]) == 0, scene.said()
    both = scene.copied_to(folder / "both")
    shutil.rmtree(project.home / "mlflow")
    (folder / "before").rename(project.home / "mlflow")
    return scene, both


@dataclass(frozen=True)
class Outcome:
    """One kill, and what the next run of the same command made of it.

    Attributes:
        point: Where the process was killed.
        left: What was in disorder after the kill.
        seconds: Of the next run.
    """

    point: str
    left: int
    seconds: float

    def __str__(self) -> str:
        """Return a row of the table."""
        return f"{self.point:32} {self.left:4} left {self.seconds:6.1f} s to recover"


def timed(scene: Scene, command: list[str], *, status: int = 0) -> float:
    """Run a command that has to end with this exit status, and return its seconds."""
    started = time.monotonic()
    assert scene.run(command) == status, scene.said()[-3000:]
    return time.monotonic() - started
