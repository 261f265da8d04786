"""Two homes and one MLflow server: what both do at the same moment happens one after the other."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.tracking.location import MlflowLocation
from slipway.tracking.tags import KEY
from tests.support.crashes import ALL
from tests.support.fake_registry import ANN, FakeRegistry, registry_at
from tests.support.full_stack import mlflow_server
from tests.support.project import PROJECT, empty_database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROUNDS = 20 if ALL else 1
MODEL = "tiny"
QUIET = {"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}


class Machine:
    """A process with a home of its own."""

    def __init__(self, address: str, home: Path) -> None:
        home.mkdir()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.mover", address, str(home), MODEL],
            env=os.environ | {"PYTHONPATH": str(PROJECT), **QUIET},
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


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeRegistry]:
    """Run a server; return the model as this process sees it."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "mlflow.db").write_bytes(empty_database().read_bytes())
    with mlflow_server(folder) as url:
        registry = registry_at(MlflowLocation(uri=url, artifacts=None), folder / "home")
        yield FakeRegistry(registry, folder / "files", MODEL)


@pytest.fixture(scope="module")
def machines(
    here: FakeRegistry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Machine, Machine]]:
    """Start two machines that use the server."""
    folder = tmp_path_factory.mktemp("machines")
    both = [Machine(here.registry.location.uri, folder / name) for name in ("b", "c")]
    yield both[0], both[1]
    for machine in both:
        machine.process.communicate(timeout=60)


def at_once(machines: tuple[Machine, Machine], first: str, second: str) -> tuple[str, str]:
    """Let both machines do something at the same moment; return how each ended."""
    for machine, line in zip(machines, (first, second), strict=True):
        machine.begin(line)
    return machines[0].answer(), machines[1].answer()


def require_both_done(here: FakeRegistry, ends: tuple[str, str]) -> None:
    """Check that neither machine gave up, and that the aliases of both models agree."""
    assert ends == ("done", "done")
    require_together(here)


def require_together(here: FakeRegistry) -> None:
    """Check that both models' champions are of one release that may serve, and nothing is open."""
    registry = here.registry
    champions = [registry.champion(name) for name in (MODEL, f"{MODEL}-transformers")]
    assert champions[0] is not None
    assert champions[1] is not None
    state = registry.state(MODEL, champions[0])
    assert state is not None
    assert state.obstacle is None
    reference = registry.tags(f"{MODEL}-transformers", champions[1])
    assert reference[KEY] == registry.tags(MODEL, champions[0])[KEY]
    found = registry.client.search_experiments(filter_string=f"name LIKE '{MODEL}/%'")
    experiments = [each.experiment_id for each in found]
    assert registry.client.search_runs(experiments, "attributes.status = 'RUNNING'") == []


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_lift_and_a_rollback_at_the_same_moment(
    here: FakeRegistry, machines: tuple[Machine, Machine], number: int
) -> None:
    """Neither fails, since the second waits for the first; the aliases of both models agree."""
    here.release(f"base-{number}")
    here.release(f"lifted-{number}")
    here.registry.roll_back(MODEL, None, ANN)
    here.release(f"champion-{number}")

    require_both_done(here, at_once(machines, f"lift lifted-{number}", "rollback"))


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_promotion_and_a_rollback_at_the_same_moment(
    here: FakeRegistry, machines: tuple[Machine, Machine], number: int
) -> None:
    """What is promoted while something is taken back is champion, or was taken back itself."""
    here.release(f"before-{number}")
    here.release(f"failing-{number}")

    require_both_done(here, at_once(machines, f"promote next-{number}", "rollback"))


@pytest.mark.parametrize("number", range(ROUNDS))
def test_the_same_release_from_two_machines(
    here: FakeRegistry, machines: tuple[Machine, Machine], number: int
) -> None:
    """One version of a key, and it is champion."""
    require_both_done(here, at_once(machines, *[f"promote same-{number}"] * 2))

    (version,) = here.registry.client.search_model_versions(
        f"name = '{MODEL}' AND tags.`{KEY}` = 'same-{number}'"
    )
    assert here.registry.champion(MODEL) == int(version.version)
