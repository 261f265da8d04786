"""A Prefect server that a command cannot use is reported before a flow starts, in one line."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from commands import prefect_server
from slipway.errors import Unreachable
from slipway.libraries import reach_loopback_directly
from slipway.settings import Settings
from slipway.system.network import require_prefect
from tests.support.project import CATALOGUE, PROJECT, printed_by
from tests.support.status_server import status_server

NOWHERE = "http://127.0.0.1:9"  # nothing listens there


@pytest.fixture
def other() -> Iterator[str]:
    """Run a server that is not Prefect's."""
    with status_server({"/page/health": 200, "/closed/health": 401}, other=404) as url:
        yield url


@pytest.mark.parametrize("command", [["release"], ["rollback", "--reason", "wrong"], ["redeploy"]])
def test_a_server_that_does_not_answer_is_one_line(tmp_path: Path, command: list[str]) -> None:
    """Exit code 1 in a second: no flow starts, and no temporary server."""
    catalogue = tmp_path / "catalogue.toml"
    catalogue.write_text(CATALOGUE.format(contract="prompt"), encoding="utf-8")
    name, *options = command
    variables = {
        "SLIPWAY_HOME": str(tmp_path / "home"),
        "SLIPWAY_CATALOGUE": str(catalogue),
        "PREFECT_API_URL": f"{NOWHERE}/api",
    }
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "slipway", name, "tiny", *options],
        cwd=PROJECT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr == (
        f"slipway: Prefect at {NOWHERE}/api does not answer ([Errno 111] Connection refused); "
        "start it, or correct its address\n"
    )
    assert time.monotonic() - started < 30


def test_a_file_of_the_current_folder_names_no_server(tmp_path: Path) -> None:
    """Prefect would read all three of them; the password of the home would be sent there."""
    level = "PREFECT_LOGGING_LEVEL=CRITICAL"
    (tmp_path / ".env").write_text(f"PREFECT_API_URL={NOWHERE}/api\n{level}\n", encoding="utf-8")
    (tmp_path / "prefect.toml").write_text(f'[api]\nurl = "{NOWHERE}/api"\n', encoding="utf-8")
    project = f'[tool.prefect.api]\nurl = "{NOWHERE}/api"\n'
    (tmp_path / "pyproject.toml").write_text(project, encoding="utf-8")
    code = (
        "import flows.release_model, json, prefect.settings as its\n"
        "print(json.dumps([its.PREFECT_API_URL.value(), its.PREFECT_LOGGING_LEVEL.value()]))"
    )
    variables = {name: text for name, text in os.environ.items() if "PREFECT" not in name}

    variables |= {"PYTHONPATH": str(PROJECT), "SLIPWAY_HOME": str(tmp_path / "home")}
    assert json.loads(printed_by(code, variables, tmp_path)) == [None, "INFO"]


@pytest.mark.parametrize(("path", "reason"), [("", "status 404"), ("/page", "no Prefect API")])
def test_another_server_is_not_taken_for_prefect(other: str, path: str, reason: str) -> None:
    """The address of its page is a common mistake; the API's address ends with /api."""
    with pytest.raises(Unreachable, match=reason):
        require_prefect(other + path)


def test_a_refused_sign_in_is_an_answer(other: str) -> None:
    """What is wrong then is the password, and the flow reports that."""
    require_prefect(f"{other}/closed")


@pytest.mark.parametrize("address", ["nonsense", "http://[", "http://127.0.0.1:port/api"])
def test_what_is_no_address_is_reported_as_such(address: str) -> None:
    """Python's URL functions raise errors of several kinds."""
    with pytest.raises(Unreachable, match="correct its address"):
        require_prefect(address)


def test_loopback_is_reached_without_the_proxy_of_the_environment(
    other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Companies set a proxy for everything, and forget the exceptions."""
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, NOWHERE)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "corp.example")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{other}/page/health")

    reach_loopback_directly()

    assert httpx.get(f"{other}/page/health").is_success
    assert (
        os.environ["NO_PROXY"] == os.environ["no_proxy"] == "corp.example,127.0.0.1,localhost,::1"
    )


def test_no_proxy_for_anything_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A star alone is what Python's functions understand."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "*")

    reach_loopback_directly()

    assert os.environ["NO_PROXY"] == "*"


def test_the_server_of_a_command_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the address is of Prefect's default form."""
    monkeypatch.setenv("PREFECT_API_URL", f"{NOWHERE}/api")

    with pytest.raises(Unreachable, match="does not answer"):
        prefect_server.require(Settings())


def test_an_error_of_ours_has_no_traceback_in_the_terminal(tmp_path: Path) -> None:
    """Prefect makes its handlers when it is imported, which is when a command imports a flow."""
    code = (
        "import flows.roll_back, logging\n"
        "names = ('prefect', 'prefect.flow_runs', 'prefect.task_runs', '')\n"
        "handlers = [each for name in names for each in logging.getLogger(name).handlers]\n"
        "print([[type(each).__name__ for each in handler.filters] for handler in handlers])"
    )

    variables = os.environ | {"SLIPWAY_HOME": str(tmp_path), "PYTHONPATH": str(PROJECT)}

    assert printed_by(code, variables).strip() == str([["PlainLines"]] * 3)
