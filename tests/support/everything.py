"""Everything that ``slipway up`` runs, on free ports and in a home of its own, with a password."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from line import PROJECT, lay_out

from slipway.ports import free_port

AUTH = "operator:a-long-enough-password"
SERVERS = ("prefect", "mlflow", "receiver", "worker", "serving")

_START_SECONDS = 240


@dataclass
class Running:
    """One ``slipway up``.

    Attributes:
        home: Where its state lives.
        environment: What it was started with, for commands that shall find it.
        said: File with all that it printed.
        process: Itself.
        family: Every process that was seen below it.
    """

    home: Path
    environment: Mapping[str, str]
    said: Path
    process: subprocess.Popen[bytes]
    family: set[psutil.Process] = field(default_factory=set)

    def url(self, server: str) -> str:
        """Return where one of its servers listens."""
        return self.environment[f"SLIPWAY_{server.upper()}_URL"]

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one of our modules beside it."""
        return subprocess.run(
            [sys.executable, *words],
            env=dict(self.environment),
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def look(self) -> set[psutil.Process]:
        """Note every process that runs below it now."""
        self.family |= set(psutil.Process(self.process.pid).children(recursive=True))
        return self.family

    def interrupt(self) -> int:
        """Press Ctrl-C, and return its exit code."""
        self.look()
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=60)


def environment(folder: Path) -> dict[str, str]:
    """Return settings for a machine of its own: no variable of this one's servers is kept."""
    foreign = ("PREFECT_", "MLFLOW_", "SLIPWAY_", "HF_")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(foreign)}
    urls = {f"SLIPWAY_{each.upper()}_URL": f"http://127.0.0.1:{free_port()}" for each in SERVERS}
    return (
        kept
        | urls
        | {
            "PYTHONPATH": os.pathsep.join([str(PROJECT), kept.get("PYTHONPATH", "")]),
            "SLIPWAY_HOME": str(folder / "home"),
            "SLIPWAY_CATALOGUE": str(folder / "catalogue.toml"),
            "SLIPWAY_EXPECTATIONS": str(folder / "expectations"),
            "SLIPWAY_SERVE": "tiny",
            "SLIPWAY_AUTH": AUTH,
            "HF_ENDPOINT": "http://127.0.0.1:9",  # nothing listens there
        }
    )


@contextmanager
def running(folder: Path, checkpoint: Path) -> Iterator[Running]:
    """Run everything until the end of the block, however it ends."""
    lay_out(folder, checkpoint)
    variables, said = environment(folder), folder / "said.txt"
    with said.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", "from commands.main import main; main()", "up"],
            env=variables,
            cwd=PROJECT,
            stdout=output,
            stderr=output,
        )
    everything = Running(folder / "home", variables, said, process)
    try:
        _wait_for_table(everything)
        yield everything
    finally:
        if process.poll() is None:
            everything.interrupt()


def _wait_for_table(everything: Running) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while "Ctrl-C" not in (text := everything.said.read_text(encoding="utf-8")):
        assert everything.process.poll() is None, text
        assert time.monotonic() < deadline, text
        time.sleep(0.5)
