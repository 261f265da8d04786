"""The device that an entry names picks the pool of its releases."""

from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate

from slipway.errors import NoWorker
from slipway.values import Entry, SelectRecipe, Target
from tasks.pools import deployment_of, hand_over, workers_online
from tests.support import summaries

pytestmark = pytest.mark.usefixtures("prefect_backend")


@pytest.fixture(scope="module")
def cuda(prefect_backend: None) -> None:
    """Let a worker of the pool ``cuda`` show that it lives."""
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="cuda", type="process"))
        client.request(
            "POST",
            "/work_pools/{work_pool_name}/workers/heartbeat",
            path_params={"work_pool_name": "cuda"},
            json={"name": "gpu-1", "heartbeat_interval_seconds": 30},
        )


def entry_for(target: Target, **fields: Any) -> Entry:
    """Return an entry that selects an artifact for a device."""
    recipe = SelectRecipe(repo="acme/tiny-onnx", target=target, precision="int4")
    return summaries.entry(recipe=recipe, **fields)


def test_a_pool_that_does_not_exist_has_no_worker(cuda: None) -> None:
    """The server says 404 then, which is no fault."""
    assert workers_online("cuda") == ("gpu-1",)
    assert workers_online("webgpu") == ()


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        (entry_for("cpu"), "release-model"),
        (summaries.entry(), "release-model"),
        (entry_for("cuda"), "release-model-cuda"),
        (entry_for("cuda", unmeasured="accept"), "release-model-cuda"),
        (entry_for("webgpu"), "release-model-webgpu"),
        (entry_for("webgpu", unmeasured="accept"), "release-model"),
    ],
)
def test_the_device_picks_the_deployment(cuda: None, entry: Entry, name: str) -> None:
    """What may be released without measurements does not wait for a worker that is not there."""
    assert deployment_of(entry) == f"release-model/{name}"


def test_a_run_without_a_worker_for_its_model_fails_at_once(
    cuda: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person may wait for it; a command releases on its own machine, whatever that has."""
    assert hand_over(entry_for("webgpu")) is None
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__NAME", "release-model")

    assert hand_over(entry_for("cpu")) is None
    assert hand_over(entry_for("webgpu", unmeasured="accept")) is None
    with pytest.raises(NoWorker, match=r"pool webgpu is online.* nothing was downloaded\. Start"):
        hand_over(entry_for("webgpu"))
