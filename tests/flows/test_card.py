"""The card of a released model: its commands and its code run as they stand."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from huggingface_hub import ModelCard

from commands.main import run
from slipway.report.next_steps import QUESTION
from slipway.values import Release
from tests.support.project import Project

CODE = "import sys; from commands.main import run; sys.exit(run(sys.argv[1:]))"


def block(card: str, language: str) -> str:
    """Return the only code block of a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", card, re.DOTALL)
    return str(found)


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: str, url: str) -> Iterator[None]:
    """Run a command of ours until the body ends, once its server is ready."""
    name, *arguments = shlex.split(command)
    assert name == "slipway"
    process = subprocess.Popen([sys.executable, "-c", CODE, *arguments], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not _is_ready(url):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready", trust_env=False).is_success
    except httpx.HTTPError:
        return False


@pytest.mark.slow
def test_the_code_of_a_card_runs_as_it_stands(
    released: tuple[Project, Release],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its command serves the version, and its program prints the version's answer."""
    url = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("SLIPWAY_SERVING_URL", url)
    assert run(["predict", "tiny", QUESTION]) == 0
    answer = capsys.readouterr().out.strip()
    assert run(["card", "tiny"]) == 0
    card = capsys.readouterr().out

    with running(block(card, "sh"), url):
        done = subprocess.run(
            [sys.executable, "-c", block(card, "python")],
            env=dict(os.environ),
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == answer != ""


def test_a_card_names_the_runs_of_its_release(
    released: tuple[Project, Release], tmp_path: Path
) -> None:
    """It is written as a README that the Hub's library reads, and every link is a run of MLflow."""
    project, release = released
    file = tmp_path / "README.md"

    assert run(["card", "tiny", "1", "--annex-iv", "--output", str(file)]) == 0

    assert ModelCard.load(file).data.base_model == "slipway/tiny-phi3"
    text = file.read_text(encoding="utf-8")
    linked = set(re.findall(r"/runs/([0-9a-f]{32})", text))
    client = project.registry().client
    assert release.versions.run_id in linked
    assert {client.get_run(run_id).info.run_id for run_id in linked} == linked
    assert "### 9. Post-market monitoring (Article 72)" in text


def test_without_a_champion_there_is_no_card(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line says how to get one."""
    assert run(["card", "tiny"]) == 2

    assert "slipway release tiny" in capsys.readouterr().err
