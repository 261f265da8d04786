"""Measures the checks of a checkpoint in child processes against the same checks in this process.

Both check the same folder, in turn. In this process they have no limits. Reported are medians of
the clock's seconds, and those of a first child on their own: it waits for the server that children
are forked from, and another one renders the chat template, which happens once in a process.

Usage: python benchmarks/validation.py CHECKPOINT [ROUNDS]
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from slipway.libraries import disable_telemetry
from slipway.validation import folders
from slipway.validation.folders import FolderRequest

ROUNDS = 10


def main(checkpoint: Path, rounds: int) -> None:
    """Measure, and print the result."""
    ways: dict[str, Callable[[], object]] = {
        "in this process": lambda: folders.inspect_checkpoint(FolderRequest(folder=checkpoint)),
        "in a child": lambda: folders.check_checkpoint(checkpoint),
    }
    for way, run in ways.items():
        print(f"first time {way}: {seconds(run):.2f} s")
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            times[way].append(seconds(run))
    for way, measured in times.items():
        print(f"{way}: {statistics.median(measured) * 1000:.0f} ms")


def seconds(run: Callable[[], object]) -> float:
    """Return how long a function takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


if __name__ == "__main__":
    disable_telemetry()
    match sys.argv[1:]:
        case [folder]:
            main(Path(folder), ROUNDS)
        case [folder, rounds]:
            main(Path(folder), int(rounds))
        case _:
            sys.exit(__doc__)
