"""A worker takes the queues that are its own, with a real Prefect server."""

import time
from pathlib import Path
from socket import gethostname

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import WorkQueueStatus

from deployments.apply import apply_pool, signed_in
from slipway.settings import Settings
from tests.support.full_stack import AUTH, environment, prefect_server, serving

OTHER = "serve-another-host"  # of the machine of the model server


def taken(client: SyncPrefectClient) -> dict[str, bool]:
    """Return the queues of the pool, and whether a worker takes each."""
    queues = client.read_work_queues(work_pool_name="slipway")
    return {each.name: each.status == WorkQueueStatus.READY for each in queues}


@pytest.mark.slow
def test_a_worker_takes_the_redeploys_of_its_own_host_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of another machine would find no server; it makes its queue, or it would take none.

    And it writes no password of MLflow's server where there is none.
    """
    variables = environment(tmp_path, AUTH) | {"SLIPWAY_SERVING_HOST": "another-host"}
    for name in ("SLIPWAY_HOME", "SLIPWAY_AUTH", "SLIPWAY_PREFECT_URL", "SLIPWAY_SERVING_HOST"):
        monkeypatch.setenv(name, variables[name])
    command, health = ["-m", "deployments.services", "worker"], variables["SLIPWAY_WORKER_URL"]
    log = tmp_path / "worker.log"
    with (
        prefect_server(tmp_path, variables),
        signed_in(Settings()),
        get_client(sync_client=True) as client,
    ):
        apply_pool(client, "slipway", 4)
        client.create_work_queue(OTHER, work_pool_name="slipway")
        before = taken(client)
        with serving("the worker", command, variables, log, f"{health}/health"):
            deadline = time.monotonic() + 60
            while not (now := taken(client))["default"]:
                assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
                time.sleep(0.5)

    assert not (tmp_path / "home" / "secrets" / "mlflow-auth.ini").exists()
    own = f"serve-{gethostname()}"
    assert before == {"default": False, OTHER: False}
    assert now == {"default": True, own: True, OTHER: False}
