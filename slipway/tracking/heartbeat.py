"""A run shows that the process that writes it lives, and others can tell that it does not.

MLflow ends no run of a process that was killed. So the process renews a tag, and a run whose tag
stays as it is belongs to nobody any more.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

from slipway.tracking.tags import HEARTBEAT

RENEW_SECONDS = 5.0
DEAD_SECONDS = 60.0


def now() -> str:
    """Return the value of a heartbeat of this moment."""
    return datetime.now(UTC).isoformat()


@contextmanager
def beating(client: Any, run_id: str) -> Iterator[None]:
    """Renew the heartbeat of a run while the body runs."""
    with renewed(partial(client.set_tag, run_id, HEARTBEAT)):
        yield


@contextmanager
def renewed(write: Callable[[str], object]) -> Iterator[None]:
    """Write a heartbeat every few seconds while the body runs.

    MLflow's client waits up to two minutes between its tries to reach a server that was away. So a
    heartbeat does not wait for the one before.

    Args:
        write: Receives the heartbeat. One that does not arrive is not repeated.
    """
    ended = threading.Event()

    def renew() -> None:
        last = None
        while not ended.wait(RENEW_SECONDS):
            last = threading.Thread(target=_send, args=(write,), name="beat", daemon=True)
            last.start()
        if last:
            last.join(RENEW_SECONDS)

    thread = threading.Thread(target=renew, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _send(write: Callable[[str], object]) -> None:
    from mlflow.exceptions import MlflowException

    with suppress(MlflowException, OSError):  # the next one may arrive
        write(now())


def dead(client: Any, runs: Iterable[Any]) -> list[Any]:
    """Return those of the ``runs`` with a heartbeat whose process is gone.

    Clocks of two machines may differ. So a heartbeat that is old, or of the future, is read a
    second time, after its process must have renewed it.
    """
    old = [run for run in runs if _seconds_from_now(_beat(run)) > DEAD_SECONDS]
    if not old:
        return []
    time.sleep(2 * RENEW_SECONDS)
    return [run for run in old if _beat(client.get_run(run.info.run_id)) == _beat(run)]


def _beat(run: Any) -> str:
    return str(run.data.tags.get(HEARTBEAT, ""))


def _seconds_from_now(beat: str) -> float:
    try:
        return abs((datetime.now(UTC) - datetime.fromisoformat(beat)).total_seconds())
    except (TypeError, ValueError):  # not one that we write
        return float("inf")
