"""Another machine: a process with a home of its own that moves aliases when a line tells it to.

Takes the address of an MLflow server, the folder of its home, and the name of the model. A line is
``lift KEY``, ``rollback`` or ``promote KEY``; the answer is ``done``, or the error's class.
"""

import sys
from pathlib import Path

from slipway.errors import SlipwayError
from slipway.tracking.location import MlflowLocation
from slipway.values import AuditInfo
from tests.support.fake_registry import FakeRegistry, registry_at

BEN = AuditInfo(actor="ben@quay", reason="it answers in verse")


def move(fake: FakeRegistry, command: str, key: str) -> str:
    """Carry out one command, and return how it ended."""
    try:
        match command:
            case "lift":
                fake.registry.lift_quarantine(fake.model, key, BEN)
            case "rollback":
                fake.registry.roll_back(fake.model, None, BEN)
            case _:
                fake.release(key)
    except SlipwayError as error:
        return f"{type(error).__name__}: {error}"
    return "done"


if __name__ == "__main__":
    address, home, model = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    registry = registry_at(MlflowLocation(uri=address, artifacts=None), home)
    fake = FakeRegistry(registry, home / "files", model)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        command, _, key = line.strip().partition(" ")
        sys.stdout.write(f"{move(fake, command, key)}\n")
        sys.stdout.flush()
