"""The command line itself: entry points, help, and errors that are not ours."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest

from commands import console, release
from commands.main import run
from slipway.errors import CatalogueInvalid, SourceMissing
from slipway.settings import Settings
from slipway.tracking import pages
from slipway.validation.texts import UNSEEN
from slipway.values import Release
from tests.support.findings import COMMIT
from tests.support.processor import children_seconds
from tests.support.project import PROJECT
from tests.support.status_server import status_server
from tests.support.summaries import promoted


def slipway(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m slipway``."""
    return subprocess.run(
        [sys.executable, "-m", "slipway", *arguments],
        cwd=PROJECT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def closed_server() -> Iterator[str]:
    """Run a server that refuses every request."""
    with status_server({}, other=401) as url:
        yield url


def test_the_version_is_the_installed_one() -> None:
    """``python -m slipway`` is the same command line as ``slipway``."""
    done = slipway("--version")

    assert (done.returncode, done.stdout.strip()) == (0, version("slipway"))


@pytest.mark.parametrize(
    "command", ["predict tiny hello --version 77", "status --version", "users list --version"]
)
def test_a_command_without_versions_refuses_the_option(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It does not print our own version instead, as if it had done what was asked."""
    assert run(command.split()) == 2
    assert "Unknown option: --version" in capsys.readouterr().err


HOSTILE = "[/y] [red]x \x1b[31mred\x1b]0;title\x07\x9b2J \u202egnp.exe \ud83d :smile:"
SHOWN = "[/y] [red]x \ufffd[31mred\ufffd]0;title\ufffd\ufffd2J \ufffdgnp.exe \ufffd :smile:"


def test_foreign_text_in_a_table_is_shown_and_not_obeyed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the terminal nor rich takes anything of it for a command, wherever it stands."""
    monkeypatch.setenv("COLUMNS", "400")

    console.table(HOSTILE, (HOSTILE, "second"), [(HOSTILE, "short")])
    console.facts("Title", {HOSTILE: HOSTILE})

    printed = capsys.readouterr().out
    assert printed.count(SHOWN) == 5
    assert "\x1b" not in printed
    assert [line for line in printed.splitlines() if line != line.rstrip()] == []


def test_foreign_text_in_a_line_is_shown_and_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    """An answer may have several lines, and a table in it."""
    console.say(f"{HOSTILE}\n\tnext")
    console.show_error(SourceMissing(HOSTILE, "check it"), json=False)

    printed = capsys.readouterr()
    assert printed.out == f"{SHOWN}\n\tnext\n"
    assert printed.err == f"slipway: {SHOWN} was not found: check it\n"


def test_json_has_foreign_text_as_it_is_and_nothing_for_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A program that reads it gets every character."""
    console.show({"name": HOSTILE})

    printed = capsys.readouterr().out
    assert json.loads(printed) == {"name": HOSTILE}
    assert UNSEEN.search(printed) is None


def test_an_argument_that_is_not_text_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    """A shell passes bytes that are not UTF-8 on; Python keeps each as half a character."""
    assert run(["approve", "tiny", "--reason", "caf\udce9", "--json"]) == 2

    document = json.loads(capsys.readouterr().out)
    assert document["message"] == (
        "argument 4: character 3 is half a character (a lone surrogate); send whole ones"
    )


def test_the_summary_names_the_pages_of_the_servers_in_use(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may run on another machine; without a server, a command starts them here."""
    made = promoted()
    outcome = Release(
        versions=made.versions,
        repo="org/model",
        commit=COMMIT,
        variant="cpu-int8",
        verdict=made.verdict,
        promotion=None,
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000")
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    release._summary(outcome, 1, Settings())
    monkeypatch.setenv("PREFECT_API_URL", "http://server:4200/api")
    release._summary(outcome, 1, Settings())

    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    mlflow = pages.models("http://server:5000")
    here, there = lines.index("UIs slipway ui"), lines.index("UIs http://server:4200")
    assert lines[here + 1 : here + 3] == ["http://127.0.0.1:4200", mlflow]
    assert lines[there + 1] == mlflow


def test_help_lists_the_commands_in_under_a_second() -> None:
    """Time of the processor, since the machine may have other work."""
    before = children_seconds()
    done = slipway("--help")
    spent = children_seconds() - before

    assert done.returncode == 0
    assert "Release a model end to end." in done.stdout
    assert "3 rejected by a gate" in " ".join(done.stdout.split())
    assert spent < 1


def test_completion_is_installed_for_a_shell(tmp_path: Path) -> None:
    """It knows the commands."""
    done = slipway("--install-completion", "--shell", "bash", HOME=str(tmp_path))

    assert done.returncode == 0, done.stderr
    scripts = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any("rollback" in path.read_text(encoding="utf-8") for path in scripts)


def test_a_refused_sign_in_to_mlflow_names_the_variable(closed_server: str, tmp_path: Path) -> None:
    """Exit code 2: a setting has to change."""
    done = slipway(
        "status",
        MLFLOW_TRACKING_URI=closed_server,
        SLIPWAY_HOME=str(tmp_path),
        SLIPWAY_AUTH="operator:a-wrong-password",
    )

    assert done.returncode == 2
    assert "SLIPWAY_AUTH: a server refuses it" in done.stderr


def test_what_mlflow_denies_names_who_can_change_that(tmp_path: Path) -> None:
    """The user is known, and has no permission."""
    with status_server({}, other=403) as url:
        done = slipway("status", MLFLOW_TRACKING_URI=url, SLIPWAY_HOME=str(tmp_path))

    assert done.returncode == 2
    assert "an administrator can give another role with `slipway users role`" in done.stderr


def test_a_refused_sign_in_to_prefect_names_the_variable(closed_server: str) -> None:
    """Prefect's client raises its HTTP library's errors."""
    with pytest.raises(httpx.HTTPStatusError) as refused:
        httpx.get(closed_server).raise_for_status()

    assert isinstance(console.translated(refused.value), CatalogueInvalid)
