"""A command is called in a folder with hostile modules; none of our processes imports them."""

import json
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support import traps
from tests.support.full_stack import environment
from tests.support.project import PROJECT, lay_out

pytestmark = pytest.mark.slow

#: The console script, which has no current folder on its path.
SLIPWAY = (sys.executable, "-P", "-c", "from commands.main import main; main()")


@dataclass(frozen=True)
class Folder:
    """The folder in which commands are called.

    Attributes:
        path: Holds the traps.
        noted: Where they note an import.
        variables: The environment of the commands.
    """

    path: Path
    noted: Path
    variables: dict[str, str]

    def run(self, *words: str) -> str:
        """Return what a command prints."""
        done = subprocess.run(
            [*SLIPWAY, *words],
            cwd=self.path,
            env=self.variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Folder:
    """Return such a folder; the model ``tiny`` was released from there."""
    project = tmp_path_factory.mktemp("project")
    lay_out(project, checkpoint)
    path = project / "here"
    noted = traps.lay_traps(path)
    (project / "system").mkdir()
    variables = environment(project, None) | {"TMPDIR": str(project / "system")}
    variables |= {"SLIPWAY_SPEED_ROUNDS": "1", "COLUMNS": "300"}
    variables.pop("PYTHONSAFEPATH", None)  # which this process has of flows; a person has not
    folder = Folder(path, noted, variables)
    folder.run("release", "tiny")
    return folder


def test_the_traps_note_who_imports_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or this module would prove nothing: Python itself imports from the current folder."""
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    noted = traps.lay_traps(tmp_path / "here")

    subprocess.run([sys.executable, "-c", "import psutil"], cwd=tmp_path / "here", check=True)

    assert traps.imported(noted).startswith("psutil ")


def test_plan_release_and_predict_import_nothing(here: Folder) -> None:
    """Neither they nor their children, fork servers, and the temporary server of Prefect."""
    here.run("plan", "tiny")
    answer = here.run("predict", "tiny", "What is the capital of Spain?")

    assert answer
    assert traps.imported(here.noted) == ""


def test_a_server_with_its_engine_imports_nothing(here: Folder) -> None:
    """It answers, so the engine has loaded its model."""
    command = [*SLIPWAY, "serve", "tiny", "--port", "0", "--workers", "1"]
    process = subprocess.Popen(
        command, cwd=here.path, env=here.variables, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        lines = (line for line in process.stdout if "address" in line)
        found = re.search(r"http://127\.0\.0\.1:\d+/v1", next(lines))
        assert found is not None
        body = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}]}
        answer = httpx.post(f"{found[0]}/chat/completions", json=body, timeout=30)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)

    assert answer.status_code == 200
    assert traps.imported(here.noted) == ""


def test_the_module_imports_nothing_from_the_current_folder(here: Folder, tmp_path: Path) -> None:
    """``python -m`` puts it first, and ours takes it away before it imports anything."""
    noted = traps.lay_traps(tmp_path / "here", set(traps.NAMES) - {"slipway"})
    done = subprocess.run(
        [sys.executable, "-m", "slipway", "models", "--json"],
        cwd=tmp_path / "here",
        env=here.variables | {"PYTHONPATH": str(PROJECT), "PYTHONSAFEPATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(done.stdout)
    assert traps.imported(noted) == ""


def test_nothing_is_left_in_the_systems_temporary_folder(here: Folder) -> None:
    """All temporary files of a release lie below our home."""
    left = {path.name for path in Path(here.variables["TMPDIR"]).iterdir()}

    assert left == set()
