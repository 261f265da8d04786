"""The pools of deployments/kubernetes/jobs, with a real Prefect server and no cluster."""

import subprocess
import sys
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import PrefectHTTPStatusError

from deployments.apply import apply_pool, deploy, signed_in
from deployments.services import POOL, RELEASE_POOLS, client_environment
from slipway.settings import Settings
from tests.support.full_stack import AUTH, environment, prefect_server
from tests.support.project import PROJECT

TEMPLATE = PROJECT / "deployments" / "kubernetes" / "jobs" / "job-template.json"


def replace_pool(name: str, settings: Settings) -> None:
    """Create a work pool instead of the one that is there, as the README says."""
    create = ("create", name, "--type", "kubernetes", "--base-job-template", str(TEMPLATE))
    for words in (("delete", name), create):
        subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", "work-pool", *words],
            env=client_environment("deploy", settings),
            check=True,
        )


def apply_deployments(client: SyncPrefectClient, settings: Settings) -> None:
    """Apply pools and deployments."""
    for pool in (POOL, *RELEASE_POOLS):
        apply_pool(client, pool, None)
    deploy(settings)


@pytest.mark.machines
@pytest.mark.slow
def test_releases_are_deployed_to_pools_of_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server takes the template, and checks the variables of each run against it."""
    variables = environment(tmp_path, AUTH)
    for name in ("SLIPWAY_HOME", "SLIPWAY_AUTH", "SLIPWAY_PREFECT_URL"):
        monkeypatch.setenv(name, variables[name])
    settings = Settings()
    with (
        prefect_server(tmp_path, variables),
        signed_in(settings),
        get_client(sync_client=True) as client,
    ):
        apply_deployments(client, settings)
        for pool in RELEASE_POOLS:
            replace_pool(pool, settings)
        apply_deployments(client, settings)

        types = {pool: client.read_work_pool(pool).type for pool in (POOL, *RELEASE_POOLS)}
        cuda = client.read_deployment_by_name("release-model/release-model-cuda")
        release = {"model": "smollm2-135m"}
        run = client.create_flow_run_from_deployment(cuda.id, parameters=release)
        with pytest.raises(PrefectHTTPStatusError, match="gpus"):
            client.create_flow_run_from_deployment(
                cuda.id, parameters=release, job_variables={"gpus": "two"}
            )

    assert types == {POOL: "process", "cpu": "kubernetes", "cuda": "kubernetes"}
    assert (run.work_pool_name, cuda.job_variables) == ("cuda", {"gpus": 1})
