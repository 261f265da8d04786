"""The command line itself: entry points, help, and errors that are not ours."""

import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path
from threading import Thread

import httpx
import pytest

from commands import console
from slipway.errors import CatalogueInvalid, InternalError
from tests.support.project import PROJECT


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


class _Refusal(BaseHTTPRequestHandler):
    """Refuses every request, as a server does that requires a password."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.end_headers()

    def log_message(self, format: str, *_arguments: object) -> None:  # noqa: A002 - its name there
        pass


@pytest.fixture
def closed_server() -> Iterator[str]:
    """Run a server that refuses every request."""
    with HTTPServer(("127.0.0.1", 0), _Refusal) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_version_is_the_installed_one() -> None:
    """``python -m slipway`` is the same command line as ``slipway``."""
    done = slipway("--version")

    assert (done.returncode, done.stdout.strip()) == (0, version("slipway"))


def test_help_lists_the_commands_in_under_a_second() -> None:
    """Time of the processor, since the machine may have other work."""
    before = os.times()
    done = slipway("--help")
    after = os.times()

    assert done.returncode == 0
    assert "Release a model end to end." in done.stdout
    assert "3 rejected by a gate" in " ".join(done.stdout.split())
    spent = after.children_user + after.children_system
    assert spent - before.children_user - before.children_system < 1


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


def test_a_refused_sign_in_to_prefect_names_the_variable(closed_server: str) -> None:
    """Prefect's client raises its HTTP library's errors."""
    with pytest.raises(httpx.HTTPStatusError) as refused:
        httpx.get(closed_server).raise_for_status()

    assert isinstance(console.translated(refused.value), CatalogueInvalid)


def test_an_internal_error_keeps_its_traceback_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line names the file; a number in its text is no status code."""
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))

    error = console.translated(ValueError("http version 401 is odd"))

    assert isinstance(error, InternalError)
    assert "http version 401 is odd" in Path(error.log).read_text(encoding="utf-8")
    assert str(error) == (
        f"internal error: ValueError: http version 401 is odd; traceback: {error.log}"
    )
