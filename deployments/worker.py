"""Becomes a worker of the pool, which takes the queues that it is given, and no other.

``python -m deployments.worker QUEUE ...`` makes queues that are missing: a worker of Prefect takes
nothing, and says nothing, if one of its queues does not exist.
"""

import os
import sys
from contextlib import suppress

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from deployments.services import POOL, prefect_worker
from slipway.system.process import command


def main(*queues: str) -> None:
    """Make the queues, and replace this process by the worker."""
    with get_client(sync_client=True) as client:
        for queue in queues:
            with suppress(ObjectNotFound):  # without a pool, the worker ends
                add_queue(client, queue)
    wanted = (word for queue in queues for word in ("--work-queue", queue))
    os.execv(sys.executable, command(*prefect_worker(POOL), *wanted))  # noqa: S606


def add_queue(client: SyncPrefectClient, name: str) -> None:
    """Make a queue of the pool, unless it is there."""
    with suppress(ObjectAlreadyExists):
        client.create_work_queue(name, work_pool_name=POOL)


if __name__ == "__main__":
    main(*sys.argv[1:])
