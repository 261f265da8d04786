"""Processes that release the same thing at the same time register it once."""

import json
import os
import subprocess
import sys
from pathlib import Path
from threading import Event, Thread

import pytest

from slipway.libraries import toolchain
from slipway.registry import Registry
from slipway.system.store import manifest
from slipway.tracking.log_models import LogRequest
from slipway.values import RegisteredVersions, Stored
from tests.support.crashes import ALL
from tests.support.fake_registry import FakeRegistry, new_registry
from tests.support.project import PROJECT

#: Homes of the processes: a lock is seen in one home only. `make faults` has eight in one home.
HOMES = [("one", "one"), ("one", "another"), *([("one",) * 8] if ALL else [])]
ROUNDS = 10 if ALL else 2


@pytest.fixture
def own_registry(tmp_path: Path) -> Registry:
    """Return a registry whose database other processes may open."""
    return new_registry(tmp_path)


def test_a_model_is_released_once_at_a_time(own_registry: Registry) -> None:
    """Who waits is told so; another model waits for nobody."""
    told, ended = Event(), Event()

    def second() -> None:
        with own_registry.releasing("tiny", told.set):
            ended.set()

    with own_registry.releasing("tiny", pytest.fail):
        waiting = Thread(target=second)
        waiting.start()
        assert told.wait(30)
        with own_registry.releasing("other", pytest.fail):
            assert not ended.is_set()
    waiting.join(30)

    assert ended.is_set()


def at_once(
    folder: Path, requests: list[LogRequest], homes: tuple[str, ...]
) -> list[list[RegisteredVersions]]:
    """Return what each of the real processes registered, round by round."""
    file = folder / "requests.json"
    file.write_text(json.dumps([each.model_dump(mode="json") for each in requests]))
    script = PROJECT / "tests" / "support" / "release_at_once.py"
    processes = [
        subprocess.Popen(
            [sys.executable, script, folder, file, folder / home, str(len(homes))],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(PROJECT)},
        )
        for home in homes
    ]
    printed = [process.communicate(timeout=600)[0].splitlines() for process in processes]
    assert {process.returncode for process in processes} == {0}
    return [
        [RegisteredVersions.model_validate_json(line) for line in lines]
        for lines in zip(*printed, strict=True)
    ]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("homes", HOMES, ids="-".join)
def test_the_same_release_several_times_at_once_is_registered_once(
    own_registry: Registry, tmp_path: Path, checkpoint: Path, homes: tuple[str, ...]
) -> None:
    """All get the same versions, whatever each logged: of one home, and of two without a lock."""
    fake = FakeRegistry(own_registry, tmp_path / "files")
    stored = Stored(key="weights", folder=checkpoint, files=manifest(checkpoint))
    requests = []
    for number in range(ROUNDS):
        request = fake.request(f"key-{number}")
        weights = request.weights.model_copy(update={"stored": stored})
        requests.append(request.model_copy(update={"weights": weights, "tools": toolchain()}))

    rounds = at_once(tmp_path, requests, homes)

    assert len(rounds) == ROUNDS
    client = own_registry.client
    for request, registered in zip(requests, rounds, strict=True):
        expected = own_registry.registered(request)
        assert expected is not None
        assert registered == [expected] * len(homes)
        for wrapper in expected.wrappers:
            query = f"name = '{wrapper.name}' AND tags.`slipway.key` = '{request.key}'"
            (version,) = client.search_model_versions(query)
            assert version.source == f"models:/{wrapper.model_id}"
            assert int(version.version) == wrapper.version
            logged = client.get_logged_model(wrapper.model_id)
            assert version.run_id == logged.source_run_id
    logged_runs = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert {run.info.status for run in logged_runs} == {"FINISHED"}
    assert "another" in homes or len(logged_runs) == ROUNDS
