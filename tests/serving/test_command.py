"""``slipway serve``: from a champion in the registry to an answer and a clean end."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from commands.main import run
from tests.support.model_servers import MADRID, MODEL, SPAIN, Registered, Server

CODE = "import sys; from commands.main import run; sys.exit(run(sys.argv[1:]))"


def command(home: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start ``slipway serve``."""
    environment = {name: text for name, text in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    return subprocess.Popen(
        [sys.executable, "-c", CODE, "serve", *arguments],
        env=environment | {"SLIPWAY_HOME": str(home), "COLUMNS": "300"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_champion_is_served_until_it_is_stopped(registered: Registered) -> None:
    """It prints its address once it listens; Ctrl-C ends all processes."""
    registered.promote(1)
    process = command(registered.home, MODEL, "--port", "0", "--workers", "1")
    try:
        assert process.stdout is not None
        lines = (line for line in process.stdout if "address" in line)
        found = re.search(r"http://127\.0\.0\.1:\d+/v1", next(lines))
        assert found is not None
        body = {"model": MODEL, "messages": [{"role": "user", "content": SPAIN}]}
        answer = httpx.post(f"{found[0]}/chat/completions", json=body, timeout=30)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0

    assert answer.json()["choices"][0]["message"]["content"] == MADRID
    assert answer.headers["x-model-version"] == "1"
    assert not (registered.home / "serving" / MODEL / "server.json").exists()


def test_a_model_that_was_never_released_cannot_be_served(tmp_path: Path) -> None:
    """The error says what to do, and no database is created."""
    process = command(tmp_path, "nothing")
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 2
    assert errors == "slipway: model 'nothing' has no champion; run `slipway release nothing`\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--port", "99999"], 'Invalid value "99999" for --port. Must be <= 65535'),
        (["--workers", "0"], 'Invalid value "0" for --workers. Must be >= 1'),
        (["--version", "0"], 'Invalid value "0" for --version. Must be >= 1'),
        (["--version", "77"], "tiny v77 was not found: `slipway status tiny` lists the versions"),
    ],
)
def test_what_cannot_be_served_is_one_line(
    registered: Registered,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    line: str,
) -> None:
    """Nothing was started, and the pointer of a server that runs is as it was."""
    monkeypatch.setenv("SLIPWAY_HOME", str(registered.home))
    monkeypatch.setenv("COLUMNS", "300")

    pointer = registered.home / "serving" / MODEL / "pointer.json"
    before = pointer.is_file() and pointer.read_bytes()

    assert run(["serve", MODEL, *arguments]) == 2

    assert capsys.readouterr().err.startswith(f"slipway: {line}")
    assert (pointer.is_file() and pointer.read_bytes()) == before


@pytest.mark.usefixtures("found_by_commands")
def test_a_model_is_served_once(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """Two servers would share a folder; the error says where the first one listens."""
    assert run(["serve", MODEL, "--version", "1"]) == 2

    assert capsys.readouterr().err == (
        f"slipway: tiny is being served at {server.url}; use that server, or stop it first\n"
    )


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (
            ["--port", "{taken}"],
            "port {taken} of the model server is taken, so nothing was started",
        ),
        (["--port", "70000"], "argument --port: 70000 is not between 0 and 65535"),
        (["--workers", "0"], "argument --workers: 0 is not between 1 and 1024"),
    ],
)
def test_a_server_that_cannot_listen_ends_with_one_line(
    server: Server, flags: list[str], line: str
) -> None:
    """Exit code 3, which uvicorn gives, would mean that a gate rejected something."""
    taken = server.url.rpartition(":")[2]
    copy = server.pointer.with_name("other") / "pointer.json"
    copy.parent.mkdir(exist_ok=True)
    copy.write_bytes(server.pointer.read_bytes())
    flags = ["--pointer", str(copy), *(flag.format(taken=taken) for flag in flags)]
    command = [sys.executable, "-m", "slipway.serving", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 2
    assert line.format(taken=taken) in done.stderr.splitlines()[-1]


def test_the_help_says_what_a_worker_costs() -> None:
    """Without importing a server."""
    heavy = "{'fastapi', 'mlflow', 'uvicorn', 'prefect'} & sys.modules.keys()"
    code = f"import sys; from commands.main import run; run(['serve', '--help']); print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "copy of the weights" in " ".join(done.stdout.replace("│", " ").split())
    assert done.stdout.rstrip().endswith("set()")
