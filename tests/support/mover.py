"""Another machine: a process with a home of its own that moves aliases when a line tells it to.

Takes the address of an MLflow server, the folder of its home, and the name of the model. A line is
``lift KEY``, ``rollback`` or ``promote KEY``; the answer is ``done``, or the error.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from slipway.errors import SlipwayError
from slipway.tracking.location import MlflowLocation
from slipway.tracking.tags import KEY
from slipway.values import AuditInfo
from tests.support.fake_registry import FakeRegistry, registry_at
from tests.support.hosts import this_machine
from tests.support.project import PROJECT

BEN = AuditInfo(actor="ben@quay", reason="it answers in verse")
MODEL = "tiny"


class Mover:
    """A process of this module.

    Args:
        address: Of the MLflow server.
        home: Its home, which is made.
        on: Returns the command that runs a program on its machine.
    """

    def __init__(
        self,
        address: str,
        home: Path,
        on: Callable[..., list[str]] = this_machine,
        model: str = MODEL,
    ) -> None:
        home.mkdir()
        quiet = {"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
        self.process = subprocess.Popen(
            on(sys.executable, "-m", "tests.support.mover", address, home, model),
            env=os.environ | {"PYTHONPATH": str(PROJECT), **quiet},
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.answer() == "ready"

    def begin(self, line: str) -> None:
        """Let it do something."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        """Wait until it has done it."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        """Wait until it has ended."""
        self.process.communicate(timeout=60)


Movers = tuple[Mover, Mover]


def at_once(movers: Movers, first: str, second: str) -> tuple[str, str]:
    """Let both do something at the same moment; return how each ended."""
    for mover, line in zip(movers, (first, second), strict=True):
        mover.begin(line)
    return movers[0].answer(), movers[1].answer()


def require_both_done(here: FakeRegistry, ends: tuple[str, str]) -> None:
    """Check that neither gave up, and that the aliases of both models agree.

    Both models' champions are of one release that may serve, and nothing is open.
    """
    assert ends == ("done", "done")
    registry, model = here.registry, here.model
    champions = [registry.champion(name) for name in (model, f"{model}-transformers")]
    assert champions[0] is not None
    assert champions[1] is not None
    state = registry.state(model, champions[0])
    assert state is not None
    assert state.obstacle is None
    reference = registry.tags(f"{model}-transformers", champions[1])
    assert reference[KEY] == registry.tags(model, champions[0])[KEY]
    found = registry.client.search_experiments(filter_string=f"name LIKE '{model}/%'")
    experiments = [each.experiment_id for each in found]
    assert registry.client.search_runs(experiments, "attributes.status = 'RUNNING'") == []


def move(fake: FakeRegistry, command: str, key: str) -> str:
    """Carry out one command, and return how it ended."""
    try:
        match command:
            case "lift":
                fake.registry.lift_quarantine(fake.model, key, BEN)
            case "rollback":
                fake.registry.roll_back(fake.model, None, BEN)
            case _:
                fake.release(key)
    except SlipwayError as error:
        return f"{type(error).__name__}: {error}"
    return "done"


if __name__ == "__main__":
    address, home, model = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    registry = registry_at(MlflowLocation(uri=address, artifacts=None), home)
    fake = FakeRegistry(registry, home / "files", model)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        command, _, key = line.strip().partition(" ")
        sys.stdout.write(f"{move(fake, command, key)}\n")
        sys.stdout.flush()
