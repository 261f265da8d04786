"""Becomes a worker of the pool, which takes the queues that it is given, and no other.

``python -m deployments.worker QUEUE ...`` makes queues that are missing: a worker of Prefect takes
nothing, and says nothing, if one of its queues does not exist.
"""

import os
import sys
from contextlib import suppress
from socket import gethostname

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from deployments.services import POOL
from slipway.system.process import command


def main(*queues: str) -> None:
    """Make the queues, and replace this process by the worker."""
    with get_client(sync_client=True) as client:
        for queue in queues:
            with suppress(ObjectAlreadyExists, ObjectNotFound):  # without a pool, the worker ends
                client.create_work_queue(queue, work_pool_name=POOL)
    wanted = (word for queue in queues for word in ("--work-queue", queue))
    start = ("-m", "prefect", "worker", "start", "--pool", POOL, "--name", gethostname())
    words = command(*start, "--with-healthcheck", *wanted)
    os.execv(sys.executable, words)  # noqa: S606


if __name__ == "__main__":
    main(*sys.argv[1:])
