"""The work pool of a model: that of the machines which have the device that its entry names."""

from typing import cast

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import WorkerStatus
from prefect.exceptions import PrefectHTTPStatusError
from prefect.runtime import deployment, flow_run

from slipway.errors import NoWorker
from slipway.evaluation import targets
from slipway.settings import Settings
from slipway.values import Entry, Release
from tasks.context import HANDED_OVER_KEY
from tasks.outcome import HANDED_OVER, final_state
from tasks.start_run import start_run

#: Whose runs are started in the pool ``cpu``; that of another pool has the pool's name at its end.
DEPLOYMENT = "release-model/release-model"


def workers_online(pool: str) -> tuple[str, ...]:
    """Return the names of the pool's workers that are online; none if there is no such pool."""
    with get_client(sync_client=True) as client:
        try:
            found = client.read_workers_for_work_pool(pool)
        except PrefectHTTPStatusError as error:
            if error.response.status_code != httpx.codes.NOT_FOUND:
                raise
            return ()
    return tuple(each.name for each in found if each.status == WorkerStatus.ONLINE)


def deployment_of(entry: Entry) -> str:
    """Return the deployment whose workers can measure ``entry``.

    Its runs wait for a worker. An entry that may be released without measurements does not: without
    a worker that has the device, every machine will do.
    """
    pool = targets.device(entry)
    if pool == "cpu" or (entry.unmeasured == "accept" and not workers_online(pool)):
        return DEPLOYMENT
    return f"{DEPLOYMENT}-{pool}"


def hand_over(entry: Entry) -> Release | None:
    """Return the final state of this run if it is to go on elsewhere; None if it goes on here.

    A worker without the device of ``entry`` starts the same run in the pool that has it. A command
    goes on: it releases on its own machine.

    Raises:
        NoWorker: If no worker of that pool is online; a person may be waiting for this run.
    """
    missing = targets.unmeasured(entry)
    if not missing or deployment.name is None:
        return None
    wanted, pool = deployment_of(entry), targets.device(entry)
    if wanted.endswith(f"/{deployment.name}"):
        return None
    if not workers_online(pool):
        raise NoWorker(entry.name, pool, next(iter(missing.values())))
    run = start_run(wanted, flow_run.parameters, f"{HANDED_OVER_KEY}{flow_run.id}")
    where = f"{Settings().prefect_pages}/runs/flow-run/{run.id}"
    return cast("Release", final_state(HANDED_OVER, f"goes on in the pool {pool}: {where}"))
