"""What goes wrong before a command starts anything is one line with the way out."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DatabaseError

from commands import console, home
from commands.main import run
from slipway.errors import DiskFailed, HomeUnusable, InternalError, MachineTooSmall
from slipway.settings import Settings
from tests.support.project import CATALOGUE, PROJECT

Said = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a catalogue with the model ``tiny``."""
    file = tmp_path / "catalogue.toml"
    file.write_text(CATALOGUE.format(contract="prompt"), encoding="utf-8")
    monkeypatch.setenv("SLIPWAY_CATALOGUE", str(file))
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["predict", "tiny", "What", "is", "it?"],
            (
                "too many arguments: is it?; put a text of several words in quotes; "
                "`slipway predict --help` shows what is expected"
            ),
        ),
        (
            ["approve", "tiny", "--reason", " "],
            (
                'Invalid value " " for --reason. expected some words, for the record; '
                "`slipway approve --help` shows what is expected"
            ),
        ),
        (
            ["rollback", "tiny", "--reason", "slow", "--failed", "0"],
            (
                'Invalid value "0" for --failed. Must be >= 1; '
                "`slipway rollback --help` shows what is expected"
            ),
        ),
        (
            ["release", "tiny", "--rebase"],
            (
                "Unknown option: --rebase. Did you mean --reason?; "
                "`slipway release --help` shows what is expected"
            ),
        ),
    ],
)
def test_a_mistake_in_the_command_line_is_one_line(
    words: list[str], line: str, capsys: Said
) -> None:
    """Exit code 2, nothing on standard output; with --json, the same as one document."""
    assert run(words) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"slipway: {line}\n")

    assert run([*words, "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document == {"error": "CommandLineInvalid", "message": line, "exit_code": 2}


@pytest.mark.parametrize("name", ["none/file", "folder", "/proc/file"])
@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["release", "tiny"], "--junit"),
        (["card", "tiny"], "--output"),
        (["bundle", "tiny"], "--output"),
    ],
)
def test_a_file_that_cannot_be_written_is_one_line_before_the_work(
    words: list[str], option: str, name: str, tmp_path: Path, capsys: Said
) -> None:
    """It has no folder, is one, or is where nobody may write; after a release it would be late."""
    (tmp_path / "folder").mkdir()
    file = tmp_path / name

    assert run([*words, option, str(file)]) == 2

    assert capsys.readouterr().err == (
        f'slipway: Invalid value "{file}" for {option}. expected a file that you may write, in a '
        f"folder that exists; `slipway {words[0]} --help` shows what is expected\n"
    )
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("below", ["", "home"])
@pytest.mark.parametrize(
    "words",
    [["status"], ["release", "tiny"], ["rollback", "tiny", "--reason", "slow"], ["up"], ["doctor"]],
)
def test_a_home_that_is_a_file_is_one_line(
    words: list[str], below: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    """Exit code 2, also for commands that only read: they would show that nothing is released."""
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("SLIPWAY_HOME", str(file / below))

    assert run(words) == 2

    assert capsys.readouterr().err == (
        f"slipway: {file / below} cannot be used ({file} is a file); make the place writable, or "
        "set SLIPWAY_HOME to another folder\n"
    )


@pytest.mark.parametrize("words", [["release", "tiny"], ["redeploy", "tiny"], ["ui"], ["doctor"]])
def test_a_home_that_cannot_be_made_is_one_line(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    """Nobody makes folders in /proc, not even root."""
    monkeypatch.setenv("SLIPWAY_HOME", "/proc/home")

    assert run(words) == 2

    assert capsys.readouterr().err.startswith("slipway: /proc/home cannot be used (")


def test_a_full_disk_is_reported_with_what_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a server has written half of its database there."""
    monkeypatch.setattr(home, "_LEAST_BYTES", 10**18)

    with pytest.raises(MachineTooSmall, match="set SLIPWAY_HOME to a larger disk"):
        home.require_writable(Settings())


def test_a_disk_that_gets_full_later_is_no_defect_of_ours(tmp_path: Path) -> None:
    """The line names the file; there is no traceback, which could not be written either."""
    full = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "store"))

    error = console.translated(full)

    assert isinstance(error, DiskFailed)
    assert str(error).startswith(
        f"writing to {tmp_path / 'store'} failed (No space left on device)"
    )


def test_a_database_that_cannot_be_read_is_no_defect_of_ours(tmp_path: Path) -> None:
    """As one that was being made when the disk got full; MLflow reads it through SQLAlchemy."""
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 1000)
    with (
        pytest.raises(DatabaseError) as raised,
        create_engine(f"sqlite:///{tmp_path}/mlflow.db").connect() as connection,
    ):
        connection.execute(text("select * from runs"))

    error = console.translated(raised.value)

    assert isinstance(error, HomeUnusable)
    assert str(error).startswith(f"the database of {tmp_path / 'home'} cannot be used (file is not")


def test_a_defect_is_one_line_wherever_the_traceback_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error's own text may have many lines, and the home may be a file."""
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("SLIPWAY_HOME", str(file))

    error = console.translated(ZeroDivisionError("one\ntwo"))

    assert isinstance(error, InternalError)
    assert error.reason == "ZeroDivisionError: one two"
    assert "ZeroDivisionError" in Path(error.log).read_text(encoding="utf-8")


@pytest.mark.parametrize(("words", "shown"), [([], "\\xbf"), (["--json"], "\\u00bf")])
def test_a_terminal_without_utf_8_gets_escapes(
    words: list[str], shown: str, tmp_path: Path
) -> None:
    """An answer in another script ended the command with an internal error."""
    file = tmp_path / "catalogue.toml"
    written = file.read_text(encoding="utf-8").replace("fp32", "¿fp32")
    file.write_text(written, encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-m", "slipway", "models", *words],
        cwd=PROJECT,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )

    assert done.returncode == 2
    assert shown in (done.stdout + done.stderr).decode("ascii")
    assert b"internal error" not in done.stderr


def test_json_is_alone_on_standard_output(capsys: Said) -> None:
    """Libraries print to it when they like, such as the addresses of runs."""
    with console.alone_on_stdout():
        print("View run at http://127.0.0.1:5000")  # noqa: T201 - as MLflow does
        console.show({"models": []})

    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"models": []}
    assert printed.err == "View run at http://127.0.0.1:5000\n"
