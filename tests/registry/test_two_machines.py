"""Two homes and one MLflow server: what both do at the same moment happens one after the other."""

from collections.abc import Iterator

import pytest

from slipway.tracking.location import MlflowLocation
from slipway.tracking.tags import KEY
from tests.support.crashes import ALL
from tests.support.fake_registry import ANN, FakeRegistry, registry_at
from tests.support.full_stack import mlflow_server
from tests.support.mover import MODEL, Mover, Movers, at_once, require_both_done
from tests.support.project import empty_database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROUNDS = 20 if ALL else 1


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeRegistry]:
    """Run a server; return the model as this process sees it."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "mlflow.db").write_bytes(empty_database().read_bytes())
    with mlflow_server(folder) as url:
        registry = registry_at(MlflowLocation(uri=url, artifacts=None), folder / "home")
        yield FakeRegistry(registry, folder / "files", MODEL)


@pytest.fixture(scope="module")
def machines(here: FakeRegistry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Movers]:
    """Start two machines that use the server."""
    folder = tmp_path_factory.mktemp("machines")
    both = [Mover(here.registry.location.uri, folder / name) for name in ("b", "c")]
    yield both[0], both[1]
    for machine in both:
        machine.end()


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_lift_and_a_rollback_at_the_same_moment(
    here: FakeRegistry, machines: Movers, number: int
) -> None:
    """Neither fails, since the second waits for the first; the aliases of both models agree."""
    here.release(f"base-{number}")
    here.release(f"lifted-{number}")
    here.registry.roll_back(MODEL, None, ANN)
    here.release(f"champion-{number}")

    require_both_done(here, at_once(machines, f"lift lifted-{number}", "rollback"))


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_promotion_and_a_rollback_at_the_same_moment(
    here: FakeRegistry, machines: Movers, number: int
) -> None:
    """What is promoted while something is taken back is champion, or was taken back itself."""
    here.release(f"before-{number}")
    here.release(f"failing-{number}")

    require_both_done(here, at_once(machines, f"promote next-{number}", "rollback"))


@pytest.mark.parametrize("number", range(ROUNDS))
def test_the_same_release_from_two_machines(
    here: FakeRegistry, machines: Movers, number: int
) -> None:
    """One version of a key, and it is champion."""
    require_both_done(here, at_once(machines, *[f"promote same-{number}"] * 2))

    (version,) = here.registry.client.search_model_versions(
        f"name = '{MODEL}' AND tags.`{KEY}` = 'same-{number}'"
    )
    assert here.registry.champion(MODEL) == int(version.version)
