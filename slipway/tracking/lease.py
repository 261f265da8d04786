"""Who writes a run: a lease that names its process, and that the process renews while it lives.

A lease has an id, its start, the file locks that its process held, and a heartbeat. A process that
holds the same locks knows that the former holder is gone; everybody else reads the heartbeat.

MLflow's client repeats a creation whose answer was lost. What carries the id of a lease twice was
made twice, and the second one is removed.
"""

import socket
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from pydantic import AwareDatetime, Field

from slipway.tracking import heartbeat
from slipway.tracking.location import if_any
from slipway.tracking.tags import AT, HEARTBEAT, LEASE, LOCK
from slipway.values import Value


class Lease(Value):
    """Who writes a run.

    Attributes:
        id: Of this run alone; empty in the records of earlier versions.
        lock: Which file locks its process held, see ``lock_identity``; empty for none.
    """

    id: str = Field(default_factory=lambda: uuid.uuid4().hex)
    start: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
    lock: str = ""

    def to_tags(self) -> dict[str, str]:
        """Return the tags of the run, the first heartbeat among them."""
        return {
            LEASE: self.id,
            AT: self.start.isoformat(),
            LOCK: self.lock,
            HEARTBEAT: heartbeat.now(),
        }

    @classmethod
    def from_tags(cls, found: Mapping[str, str]) -> Self:
        """Return the lease that the tags of a run hold.

        Raises:
            LookupError, ValueError: If nothing of ours can have written them.
        """
        start = datetime.fromisoformat(found[AT])
        return cls(id=found.get(LEASE, ""), start=start, lock=found.get(LOCK, ""))


def lock_identity(locks: Path) -> str:
    """Return which locks these are: the same for all processes that they keep apart.

    A file lock belongs to a folder and to the system that runs; names of machines repeat.
    """
    system = Path("/proc/sys/kernel/random/boot_id")
    name = system.read_text(encoding="utf-8") if system.is_file() else socket.gethostname()
    folder = locks.stat()
    return f"{name.strip()}:{folder.st_dev}:{folder.st_ino}"


def create_run(
    client: Any, experiment: str, lease: Lease, name: str, tags: Mapping[str, str]
) -> str:
    """Return the id of a new run that ``lease`` holds, made once."""
    start_ms = int(lease.start.timestamp() * 1000)
    named = {"run_name": name, "tags": {**tags, **lease.to_tags()}}
    client.create_run(experiment, start_time=start_ms, **named)
    first, *doubles = client.search_runs(
        [experiment], f"tags.`{LEASE}` = '{lease.id}'", order_by=["attributes.start_time ASC"]
    )
    for double in doubles:
        client.delete_run(double.info.run_id)
    return str(first.info.run_id)


def remove_models(client: Any, experiment: str, lease: str, keep: Iterable[str] = ()) -> None:
    """Delete the logged models that carry the id of a lease, half written ones too.

    Args:
        client: MLflow's.
        experiment: Id of their experiment.
        lease: Its id.
        keep: Ids of the models that stay.
    """
    found = client.search_logged_models([experiment], f"tags.`{LEASE}` = '{lease}'")
    for model_id in {model.model_id for model in found} - {*keep}:
        if_any(lambda: client.delete_logged_model(model_id))  # noqa: B023 - called at once
