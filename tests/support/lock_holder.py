"""Hold a shared lock, as a process of its own.

``count ADDRESS FILE ROUNDS`` adds one to the number in a file, each time under the lock.
``stop ADDRESS`` holds the lock, says so, waits for a line, and tells whether it may still write.
"""

import sys
import time
from pathlib import Path

from mlflow import MlflowClient

from slipway.errors import RegistryConflict
from slipway.tracking import heartbeat, shared_lock

NAME = "tiny"


def count(address: str, file: str, rounds: str) -> None:
    """Add up without any other care than the lock."""
    client = MlflowClient(address, address)
    for _ in range(int(rounds)):
        with shared_lock.held(client, NAME):
            number = int(Path(file).read_text(encoding="utf-8"))
            time.sleep(0.05)
            Path(file).write_text(str(number + 1), encoding="utf-8")


def stop(address: str) -> None:
    """Hold the lock until somebody says something, and then look at it."""
    heartbeat.RENEW_SECONDS = 0.2
    with shared_lock.held(MlflowClient(address, address), NAME) as lock:
        sys.stdout.write(f"{lock.number}\n")
        sys.stdout.flush()
        sys.stdin.readline()
        try:
            lock.require_held()
            sys.stdout.write("held\n")
        except RegistryConflict:
            sys.stdout.write("lost\n")


if __name__ == "__main__":
    {"count": count, "stop": stop}[sys.argv[1]](*sys.argv[2:])
