"""Two machines release: two homes with a worker each, one Prefect server and one MLflow server.

They share this machine's cores, so the tests show what runs side by side, not how fast.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.full_stack import Running, running, serving
from tests.support.hub import LocalHub
from tests.support.network import free_port
from tests.support.phi3_repositories import ONNX, WEIGHTS, lay_out_onnx, lay_out_weights
from tests.support.project import Project

pytestmark = [pytest.mark.machines, pytest.mark.slow, pytest.mark.timeout(1800)]

FOR_CUDA = """\
[models.{name}]
title = "For a device that no machine here has"
source = {{ kind = "hub", repo = "{weights}", endpoint = "{endpoint}" }}
wrappers = {{ onnx = "chat" }}
suite = "brief"
texts = "brief"
gates = {{ size_bytes = {{}} }}
licenses = ["mit"]
automatic = false
unmeasured = "{unmeasured}"

[models.{name}.recipe]
kind = "select"
repo = "{onnx}"
endpoint = "{endpoint}"
target = "cuda"
precision = "int4"
"""
PUBLIC = "https://prefect.example"
AGAIN = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the Prefect UI"}


@dataclass(frozen=True)
class Machines:
    """Two machines.

    Attributes:
        first: Everything of ``slipway up``, with a worker of the pool ``cpu``.
        folder: Holds the homes of the others.
    """

    first: Running
    folder: Path

    @contextmanager
    def another(self, name: str, pool: str) -> Iterator[Path]:
        """Run the worker of another machine; give its home."""
        url, home = f"http://127.0.0.1:{free_port()}", self.folder / name
        home.mkdir()
        own = {"SLIPWAY_HOME": str(home), "SLIPWAY_RELEASE_WORKER_URL": url, "SLIPWAY_POOL": pool}
        variables, log = dict(self.first.environment) | own, self.folder / f"{name}.log"
        command = ["-P", "-m", "deployments.services", "release-worker"]
        with serving(name, command, variables, log, f"{url}/health"):
            self._wait_for_worker(pool)
            yield home

    def _wait_for_worker(self, pool: str) -> None:
        """Wait until Prefect knows a worker of a pool, which tells its health before that."""
        deadline = time.monotonic() + 120
        while not self.first.prefect(f"/work_pools/{pool}/workers/filter", {}):
            assert time.monotonic() < deadline, f"no worker of {pool}"
            time.sleep(1)

    def command(self, *words: str) -> tuple[int, str]:
        """Run a command of ``slipway``; return its exit code and what it printed."""
        code = "import sys; from commands.main import run; sys.exit(run(sys.argv[1:]))"
        done = self.first.command("-c", code, *words)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Iterator[Machines]:
    """Run everything on the first machine, with a catalogue of six models."""
    folder = tmp_path_factory.mktemp("machines")
    hub = LocalHub(folder / "hub")
    hub.push(WEIGHTS, lay_out_weights(checkpoint, folder / "weights"))
    hub.push(ONNX, lay_out_onnx(checkpoint, folder / "onnx"))
    more = {
        "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(folder / "results"),  # of all machines
        "SLIPWAY_PUBLIC_PREFECT_URL": PUBLIC,
        "SLIPWAY_SPEED_ROUNDS": "1",
        "SLIPWAY_STEP_TIMEOUT_SECONDS": "1800",
    }
    with hub.serve() as served:

        def arrange(project: Project) -> None:
            project.edit('texts = "brief"\n', 'texts = "brief"\nautomatic = false\n')
            tiny = project.catalogue.read_text(encoding="utf-8")
            names = ("other", "third", "fourth")
            others = [tiny.replace("models.tiny", f"models.{name}") for name in names]
            facts = {"weights": WEIGHTS, "onnx": ONNX, "endpoint": served.endpoint}
            others += [
                FOR_CUDA.format(name="needs-cuda", unmeasured="refuse", **facts),
                FOR_CUDA.format(name="takes-any", unmeasured="accept", **facts),
            ]
            project.catalogue.write_text("\n".join([tiny, *others]), encoding="utf-8")

        with running(folder / "first", checkpoint, more, arrange=arrange) as first:
            yield Machines(first, folder)


def test_two_models_are_released_side_by_side_and_one_is_not_released_twice(
    machines: Machines,
) -> None:
    """Each machine has room for one release, and neither has two; the same model waits."""
    with machines.another("b", "cpu") as home:
        different = [machines.first.release(model) for model in ("tiny", "other")]
        one, other = (machines.first.ended(run) for run in different)
        first, second = (machines.first.release("third") for _ in range(2))
        both = [machines.first.ended(run) for run in (first, second)]

    assert [one["state_name"], other["state_name"]] == ["Completed"] * 2
    assert max(_at(one, "start"), _at(other, "start")) < min(_at(one, "end"), _at(other, "end"))
    assert {_released_in(machines.first.home), _released_in(home)} == {("tiny",), ("other",)}
    assert {each["state_name"] for each in both} == {"Completed", "Already released"}
    assert len(machines.first.versions("third")) == 1
    waited = [run for run in (first, second) if "waits for its end" in machines.first.log(run)]
    assert [machines.first.run(run)["state_name"] for run in waited] == ["Already released"]


def test_a_model_for_another_device_is_told_that_no_machine_has_it(machines: Machines) -> None:
    """By the plan and by a run that a person starts; nothing is downloaded."""
    code, printed = machines.command("plan", "needs-cuda")
    found = machines.first.ended(machines.first.release("needs-cuda"))

    assert code == 2
    assert "no worker of the pool cuda is online" in printed
    assert found["state_name"] == "Failed"
    assert "no worker of the pool cuda is online" in found["state"]["message"]


def test_a_model_for_another_device_is_released_in_the_pool_that_has_it(machines: Machines) -> None:
    """The worker of the pool has no such device here: what the entry accepts is not measured."""
    with machines.another("c", "cuda") as home:
        code, printed = machines.command("plan", "takes-any")
        started = machines.first.ended(machines.first.release("takes-any"))
        page = started["state"]["message"].split()[-1]
        went_on = machines.first.ended(page.rpartition("/")[2])

    assert code == 0, printed
    assert "runs on" in printed
    assert started["state_name"] == "Handed over", started["state"]
    assert went_on["work_pool_name"] == "cuda"
    assert went_on["parameters"]["model"] == "takes-any"
    assert went_on["state_name"] == "Completed", went_on["state"]
    assert [*home.glob("store/artifact-*")]
    assert len(machines.first.versions("takes-any")) == 1


def test_a_release_that_one_machine_began_is_finished_by_another(machines: Machines) -> None:
    """It shares the results of tasks, and none of the files that they name."""
    first = machines.first
    run = first.release("fourth")
    first.wait_for_task(run, "log ")
    worker = _worker_of(first, "cpu")
    for process in worker.children():
        process.kill()
    crashed = first.ended(run)
    worker.suspend()
    (first.home / "store").rename(first.home / "store of a machine that is gone")
    with machines.another("d", "cpu") as home:
        first.prefect(f"/flow_runs/{run}/set_state", {"state": AGAIN, "force": True})
        found = first.ended(run)
    worker.resume()

    assert (crashed["state_name"], found["state_name"]) == ("Crashed", "Completed"), found["state"]
    assert [*home.glob("store/artifact-*")]
    assert "is missing or changed" in first.log(run)
    (tags,) = first.versions("fourth")
    assert tags["slipway.flow_run"] == f"{PUBLIC}/runs/flow-run/{run}"


def _released_in(home: Path) -> tuple[str, ...]:
    """Return which of two models a home has released: it has held the lock of each."""
    locks = {model: home / "locks" / f"releasing-{model}.lock" for model in ("tiny", "other")}
    return tuple(model for model, lock in locks.items() if lock.is_file())


def _worker_of(machine: Running, pool: str) -> psutil.Process:
    """Return the process of a machine's worker."""
    (found,) = (each for each in machine.look() if each.is_running() and pool in each.cmdline())
    return found


def _at(run: Any, what: str) -> datetime:
    return datetime.fromisoformat(run[f"{what}_time"])
