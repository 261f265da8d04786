"""Releases of different tiny models, with one worker and with two."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import rmtree

from benchmarks.figure import Figure, Measured, Sample, at_least
from slipway.system.process import kill, process_tree
from tests.support.full_stack import Running, running
from tests.support.project import CATALOGUE, PROJECT, Project
from tests.support.tiny_phi3 import write_checkpoint

RELEASES, QUICK_RELEASES = 12, 2
_LONGEST_SECONDS, _POLL_SECONDS = 3600.0, 1.0
_FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
_SECOND_WORKER = """
import os, sys
from deployments.services import client_environment
from slipway.settings import Settings
start = [sys.executable, "-m", "prefect", "worker", "start", "--name", "second", "--limit", "1"]
variables = client_environment("worker", Settings())
os.execve(sys.executable, [*start, "--pool", sys.argv[1]], variables)
"""


def measure(work: Path, quick: bool) -> Figure:
    """Start all releases at the same moment, first with one worker, then with two."""
    count = QUICK_RELEASES if quick else RELEASES
    seconds = {workers: _seconds(work / f"workers-{workers}", count, workers) for workers in (1, 2)}
    line = Measured(
        name=f"{count} releases of tiny models, two workers",
        unit="releases/min",
        value=Sample.of(60 * count / seconds[2]),
        floor=Sample.of(60 * count / seconds[1]),
        floor_name="one worker",
        bars=(at_least(1.7),),
    )
    note = (
        "Both workers and all servers share the processor and the disk of one machine, which one "
        "release keeps busy for much of its time. So this hides what a second machine brings; it "
        "shows only whether anything makes the releases wait for each other."
    )
    return Figure(name="workers", measured=(line,), notes=(note,))


def _seconds(folder: Path, count: int, workers: int) -> float:
    """Return how long the releases take in an empty place."""
    rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    checkpoint = write_checkpoint(folder / "tiny")
    with ExitStack() as stack:
        everything = stack.enter_context(
            running(folder / "up", checkpoint, arrange=lambda place: _add_models(place, count))
        )
        if workers > 1:
            stack.enter_context(_second_worker(everything))
        return _released(everything, count)


def _add_models(place: Project, count: int) -> None:
    """Put models into the catalogue that have weights of their own, and no schedule."""
    one = CATALOGUE.format(contract="prompt").replace(
        'title = "Tiny Phi-3"', 'title = "Tiny Phi-3"\nautomatic = false'
    )
    texts = [one]
    for number in range(count):
        write_checkpoint(place.folder / f"checkpoint-{number}", seed=number)
        named = one.replace("models.tiny", f"models.{_name(number)}")
        texts.append(named.replace('path = "checkpoint"', f'path = "checkpoint-{number}"'))
    place.catalogue.write_text("\n".join(texts), encoding="utf-8")


def _name(number: int) -> str:
    return f"tiny-{number}"


@contextmanager
def _second_worker(everything: Running) -> Iterator[None]:
    """Run one more worker of the pool that releases run in."""
    deployments = everything.prefect("/deployments/filter", {})
    pool = next(each["work_pool_name"] for each in deployments if each["name"] == "release-model")
    process = subprocess.Popen(
        [sys.executable, "-c", _SECOND_WORKER, pool],
        cwd=PROJECT,
        env=dict(everything.environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        kill(process_tree(process.pid))  # asked to end, it waits for other runs of the pool


def _released(everything: Running, count: int) -> float:
    """Start the releases, and return the seconds until the last one is completed."""
    started = time.monotonic()
    runs = [everything.release(_name(number)) for number in range(count)]
    while time.monotonic() - started < _LONGEST_SECONDS:
        found = everything.prefect(
            "/flow_runs/filter", {"flow_runs": {"id": {"any_": runs}}, "limit": 200}
        )
        states = [each["state_type"] for each in found]
        if all(state in _FINAL for state in states):
            break
        time.sleep(_POLL_SECONDS)
    if set(states) != {"COMPLETED"}:
        raise SystemExit(f"the releases ended as {states}:\n{everything.logs()}")
    return time.monotonic() - started
