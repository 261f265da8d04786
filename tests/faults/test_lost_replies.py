"""A lost reply never makes two of anything, though MLflow's client repeats its request."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slipway.errors import Unreachable
from slipway.libraries import toolchain
from slipway.system.call import call
from slipway.system.process import ProcessLimits
from slipway.system.store import manifest
from slipway.tracking import log_models
from slipway.tracking.location import MlflowLocation
from slipway.tracking.log_models import Logged, LogRequest
from slipway.tracking.tags import KEY
from slipway.values import Promoted, RegisteredVersions, Rejected, Release, Stored
from tests.support.crashes import ALL
from tests.support.fake_registry import ANN, FakeRegistry, registry_at
from tests.support.faulty_proxy import losing_proxy
from tests.support.full_stack import mlflow_server
from tests.support.invariants import violations
from tests.support.project import empty_database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

#: Requests that make something, each of whose replies has to be lost at least once.
CREATIONS = {
    "experiments/create",
    "logged-models",
    "model-versions/create",
    "registered-models/create",
    "runs/create",
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Run a real MLflow server; give its address."""
    (tmp_path / "mlflow.db").write_bytes(empty_database().read_bytes())
    with mlflow_server(tmp_path) as url:
        yield url


@pytest.mark.parametrize("times", (1, 3, 7) if ALL else (3,))
def test_every_reply_is_lost_and_nothing_is_made_twice(  # noqa: PLR0917
    server: str,
    tmp_path: Path,
    checkpoint: Path,
    limits: ProcessLimits,
    monkeypatch: pytest.MonkeyPatch,
    times: int,
) -> None:
    """Two releases, a rollback and a rejected candidate; MLflow's client gives up at eight."""
    from mlflow import MlflowClient

    for name in ("FACTOR", "JITTER"):
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_BACKOFF_{name}", "0")
    with losing_proxy(server, times) as (address, lost):
        location = MlflowLocation(uri=address, artifacts=None)
        fake = FakeRegistry(registry_at(location, tmp_path), tmp_path / "files")
        for key in ("one", "two"):
            fake.registry.promote(release(registered(fake, key, checkpoint, limits)), *PROMOTED)
        fake.registry.roll_back(fake.model, None, ANN)
        rejected = registered(fake, "three", checkpoint, limits)
        fake.registry.withdraw(rejected, Rejected(reasons=("it answers in verse",)))

    client = MlflowClient(server, server)
    made = {path.partition("/mlflow/")[2] for path in lost}
    assert made >= CREATIONS
    assert min(lost.values()) >= times
    assert counted(client) == {"runs": 3, "logged models": 6, "versions": 4, "changes": 4}
    assert client.get_model_version_by_alias("tiny", "champion").version == "1"
    found = violations(tmp_path / "nothing", client)
    assert [each for each in found if "event" not in each] == []  # none was to be sent here


PROMOTED: tuple[Any, ...] = ("champion", "Released.", ANN)


def registered(
    fake: FakeRegistry, key: str, checkpoint: Path, limits: ProcessLimits
) -> RegisteredVersions:
    """Return the versions of a release that was logged as the line logs it."""
    request = fake.request(key)
    stored = Stored(key="weights", folder=checkpoint, files=manifest(checkpoint))
    weights = request.weights.model_copy(update={"stored": stored})
    whole = request.model_copy(update={"weights": weights, "tools": toolchain()})

    def log(request: LogRequest) -> Logged:
        return call(log_models.log, request, limits, step="log").value

    try:
        return fake.registry.register_once(whole, log)
    except Unreachable:  # the step of the line is tried again
        return fake.registry.register_once(whole, log)


def release(versions: RegisteredVersions) -> Release:
    """Return a release that passed its gates."""
    verdict = Promoted(reasons=("all checks hold",))
    fields = {"repo": "acme/tiny", "commit": "ab" * 20, "variant": "cpu-fp32"}
    return Release(versions=versions, verdict=verdict, promotion=None, **fields)


def counted(client: Any) -> Counter[str]:
    """Return how many things of each kind there are."""
    ids = {each.name: each.experiment_id for each in client.search_experiments()}
    runs = client.search_runs([ids["tiny"]], "attributes.status = 'FINISHED'")
    assert {run.data.tags[KEY] for run in runs} == {"one", "two", "three"}
    return Counter(
        {
            "runs": len(runs),
            "logged models": len(client.search_logged_models([ids["tiny"]])),
            "versions": len(client.search_model_versions("")),
            "changes": len(client.search_runs([ids["tiny/promotions"]])),
        }
    )
