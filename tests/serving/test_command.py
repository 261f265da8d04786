"""``slipway serve``: from a champion in the registry to an answer and a clean end."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from tests.support.model_servers import MADRID, MODEL, SPAIN, Registered

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


def test_the_help_says_what_a_worker_costs() -> None:
    """Without importing a server."""
    heavy = "{'fastapi', 'mlflow', 'uvicorn', 'prefect'} & sys.modules.keys()"
    code = f"import sys; from commands.main import run; run(['serve', '--help']); print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "copy of the weights" in " ".join(done.stdout.replace("│", " ").split())
    assert done.stdout.rstrip().endswith("set()")
