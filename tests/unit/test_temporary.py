"""Temporary files lie below our home, and go with their process or at the next start."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

Start = Callable[[str], subprocess.Popen[str]]

LEAVE = """
    import tempfile, time
    from slipway.system.call import call
    from slipway.system.process import ProcessLimits
    from tests.support.child_functions import ChildRequest, leave_files
    tempfile.mkdtemp(prefix="mine-")
    call(leave_files, ChildRequest(), ProcessLimits(60, None, HOME / "logs"), step="other")
    print("left", flush=True)
"""
WAIT = "    time.sleep(600)\n"


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Return how a process is started whose system has a folder for temporary files of its own."""
    (tmp_path / "system").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "system"))

    def start(code: str) -> subprocess.Popen[str]:
        begin = f"""
    from pathlib import Path
    from slipway.system import temporary
    HOME = Path({str(tmp_path / "home")!r})
    temporary.claim(HOME)
"""
        script = textwrap.dedent(begin + code)
        return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)

    return start


def left(folder: Path) -> set[str]:
    """Return the beginnings of the names of what lies in a folder and in its folders."""
    return {path.name.partition("-")[0] for path in folder.rglob("*")}


def test_a_process_that_ends_leaves_no_temporary_file(start: Start, tmp_path: Path) -> None:
    """Nor does its child, whatever it forgot."""
    assert start(LEAVE).communicate() == ("left\n", None)

    assert left(tmp_path / "system") == set()
    assert {path.name for path in (tmp_path / "home").iterdir()} == {"logs"}


def test_what_a_killed_process_left_is_removed_at_the_next_start(
    start: Start, tmp_path: Path
) -> None:
    """Never in the system's folder, where nobody would look for it."""
    killed = start(LEAVE + WAIT)
    assert killed.stdout is not None
    killed.stdout.readline()
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert left(tmp_path / "system") == set()
    assert left(tmp_path / "home" / "tmp") == {str(killed.pid), "mine", "childs"}

    start("").communicate()

    assert not (tmp_path / "home" / "tmp").exists()


def test_the_files_of_a_running_process_stay(start: Start, tmp_path: Path) -> None:
    """Also those of one that has become another program meanwhile, as a service does."""
    become = '    import os, sys\n    os.execv(sys.executable, [sys.executable, "-c", PROGRAM])\n'
    program = 'PROGRAM = "import time; print(1, flush=True); time.sleep(600)"'
    running = [start(LEAVE + WAIT), start(f"{LEAVE}    {program}\n{become}")]
    for each in running:
        assert each.stdout is not None
        each.stdout.readline()
    assert running[1].stdout is not None
    running[1].stdout.readline()

    start("").communicate()

    assert (tmp_path / "home" / "tmp").stat().st_mode & 0o777 == 0o700
    assert left(tmp_path / "home" / "tmp") == {
        *(str(each.pid) for each in running),
        "mine",
        "childs",
    }
    for each in running:
        each.kill()
        each.communicate()


def test_a_home_that_cannot_be_made_is_no_error(start: Start, tmp_path: Path) -> None:
    """The system's folder is used."""
    (tmp_path / "home").write_text("not a folder")

    said, _ = start("    import tempfile; print(tempfile.gettempdir())").communicate()

    assert said.strip() == str(tmp_path / "system")
