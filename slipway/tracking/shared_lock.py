"""A lock that all machines see: MLflow's store lets one of them create an experiment of a name.

A lock's experiment is ``NAME/lock N``. Who creates it holds the lock, renews its heartbeat, and
deletes it at the end; MLflow hides it then and keeps its name, so N is never given out twice. One
whose heartbeat stays the same for a minute is taken over by whoever creates N + 1. N is therefore a
fencing token: a holder that was stopped for so long finds a higher one before its next write.

Fencing tokens: Martin Kleppmann, "How to do distributed locking" (2016).
"""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from slipway.errors import RegistryConflict
from slipway.tracking import heartbeat
from slipway.tracking.location import if_any
from slipway.tracking.tags import HEARTBEAT, LEASE, LOCK

_LOOK_SECONDS = 0.25
_LONG_LOOK_SECONDS = 2.0  # where others may hold it for hours
_SEEN = 10  # newest: some may be of the same millisecond
_PATIENCE_SECONDS = 600.0  # a release registers within seconds, and its body within minutes


@dataclass(frozen=True)
class SharedLock:
    """A lock that this process holds.

    Attributes:
        client: MLflow's.
        name: What is locked.
        number: The fencing token.
        experiment: Id of the lock's experiment.
    """

    client: Any
    name: str
    number: int
    experiment: str

    def require_held(self) -> None:
        """Check before a write that nobody has taken the lock over.

        Raises:
            RegistryConflict: If another process has.
        """
        if _newest(self.client, self.name).number != self.number:
            raise RegistryConflict(self.name, "another machine took its lock over")


@dataclass(frozen=True)
class _Found:
    """The newest lock of a name: whether somebody holds it, in which home, and the sign of life."""

    number: int = 0
    experiment: str = ""
    held: bool = False
    home: str = ""
    beat: str = ""


@contextmanager
def held(
    client: Any, name: str, home: str = "", tell: Callable[[], object] | None = None
) -> Iterator[SharedLock]:
    """Hold the lock ``name`` while the body runs; wait for whoever holds it.

    Args:
        client: MLflow's.
        name: What is locked.
        home: Identity of the file lock that this process holds for ``name``; empty for none. What
            the same one has left behind is taken over at once.
        tell: Called once if others hold it. Then they are waited for as long as they live.

    Raises:
        RegistryConflict: If others hold it for ten minutes, and ``tell`` is None.
    """
    lock = _acquired(client, name, home, tell)
    with heartbeat.renewed(partial(client.set_experiment_tag, lock.experiment, HEARTBEAT)):
        try:
            yield lock
        finally:
            if_any(lambda: client.delete_experiment(lock.experiment))


def _acquired(client: Any, name: str, home: str, tell: Callable[[], object] | None) -> SharedLock:
    started = alive = time.monotonic()
    seen = None
    look_seconds = _LONG_LOOK_SECONDS if tell else _LOOK_SECONDS
    told = False
    while tell or time.monotonic() - started < _PATIENCE_SECONDS:
        asked = time.monotonic()
        now = _newest(client, name)
        took_seconds = time.monotonic() - asked
        # No heartbeat arrives while the server is away, and the holder may try as late again.
        if now != seen or took_seconds > heartbeat.RENEW_SECONDS:
            seen, alive = now, time.monotonic() + took_seconds
        is_dead = bool(home) and now.home == home
        is_dead = is_dead or time.monotonic() - alive > heartbeat.DEAD_SECONDS
        if (not now.held or is_dead) and (lock := _created(client, name, now.number + 1, home)):
            if now.held:
                if_any(lambda: client.delete_experiment(now.experiment))  # noqa: B023
            return lock
        if tell and not told:
            tell()
            told = True
        time.sleep(look_seconds)
    raise RegistryConflict(name, "another machine holds its lock")


def _created(client: Any, name: str, number: int, home: str) -> SharedLock | None:
    """Return the lock with this number; None if another process was quicker."""
    from mlflow.exceptions import MlflowException

    title, owner = _title(name, number), uuid.uuid4().hex
    tags = {LEASE: owner, LOCK: home, HEARTBEAT: heartbeat.now()}
    try:
        return SharedLock(client, name, number, client.create_experiment(title, tags=tags))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    # MLflow's client repeats a creation whose reply was lost: then what exists is our own.
    found = client.get_experiment_by_name(title)
    is_ours = found is not None and found.tags.get(LEASE) == owner
    return SharedLock(client, name, number, found.experiment_id) if is_ours else None


def _newest(client: Any, name: str) -> _Found:
    from mlflow.entities import ViewType

    found = client.search_experiments(
        ViewType.ALL,
        max_results=_SEEN,
        filter_string=f"name LIKE '{_title(name, '%')}'",
        order_by=["creation_time DESC"],
    )
    locks = [_found(each) for each in found if each.name.startswith(_title(name, ""))]
    return max(locks, key=lambda lock: lock.number, default=_Found())


def _found(experiment: Any) -> _Found:
    return _Found(
        number=int(experiment.name.rpartition(" ")[2]),
        experiment=experiment.experiment_id,
        held=experiment.lifecycle_stage == "active",
        home=experiment.tags.get(LOCK, ""),
        beat=experiment.tags.get(HEARTBEAT, ""),
    )


def _title(name: str, number: int | str) -> str:
    return f"{name}/lock {number}"
