"""A server leaves a note in its home, and commands use the server of a current note."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.services import require_none_running
from slipway.errors import AlreadyRunning
from slipway.settings import Settings
from slipway.system import server_note
from tests.support.project import PROJECT

URL = "http://127.0.0.1:4300"
LEAVE = """
from pathlib import Path
from slipway.system import server_note
server_note.leave(Path({home!r}), "prefect", {url!r})
"""


@pytest.fixture(autouse=True)
def _no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the servers of the machine that runs the tests, and what a test sets."""
    for name in ("PREFECT_API_URL", "SLIPWAY_PREFECT_URL"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_a_command_uses_the_server_of_its_home(tmp_path: Path) -> None:
    """No variable has to be exported, and the home's own password is for that address."""
    server_note.leave(tmp_path, "prefect", f"{URL}/")

    server_note.use(Settings(home=tmp_path))

    assert os.environ["PREFECT_API_URL"] == f"{URL}/api"
    assert Settings().prefect_url == URL
    assert "MLFLOW_TRACKING_URI" not in os.environ


def test_the_environment_takes_precedence_over_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person may work with other servers."""
    monkeypatch.setenv("PREFECT_API_URL", "http://server:4200/api")
    server_note.leave(tmp_path, "prefect", URL)

    server_note.use(Settings(home=tmp_path))

    assert os.environ["PREFECT_API_URL"] == "http://server:4200/api"


def test_the_note_of_a_process_that_ended_is_ignored(tmp_path: Path) -> None:
    """As `kill -9` leaves it, or a machine that lost power."""
    code = LEAVE.format(home=str(tmp_path), url=URL)
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PROJECT)

    assert (tmp_path / "servers" / "prefect.json").is_file()
    assert server_note.find(tmp_path, "prefect") is None


def test_a_process_that_got_the_number_later_is_another_one(tmp_path: Path) -> None:
    """Numbers of processes are given out again."""
    server_note.leave(tmp_path, "prefect", URL)
    file = tmp_path / "servers" / "prefect.json"
    note = json.loads(file.read_bytes())
    assert server_note.find(tmp_path, "prefect")

    file.write_text(
        json.dumps(note | {"started_seconds": note["started_seconds"] - 60}), encoding="utf-8"
    )

    assert server_note.find(tmp_path, "prefect") is None


def test_a_damaged_note_is_no_note(tmp_path: Path) -> None:
    """A full disk leaves an empty file."""
    server_note.leave(tmp_path, "prefect", URL)
    (tmp_path / "servers" / "prefect.json").write_text("", encoding="utf-8")

    assert server_note.find(tmp_path, "prefect") is None


def test_a_note_is_removed_by_the_process_that_left_it(tmp_path: Path) -> None:
    """After that, servers may be started again."""
    server_note.leave(tmp_path, "mlflow", URL)
    with pytest.raises(
        AlreadyRunning, match=rf"mlflow server of .* process {os.getpid()}, at {URL}"
    ):
        require_none_running(Settings(home=tmp_path))

    server_note.remove(tmp_path)

    require_none_running(Settings(home=tmp_path))
