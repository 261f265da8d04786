"""Releases one model again and again, and counts how often the verdict is the same.

Every second release runs beside processes that do nothing but count, one for each core unless a
number is given: 0 suffices where the machine is busy already. The artifact is the same one from the
store; everything that is measured with it, its answers and speeds among them, is measured anew. The
champion is the release before.

Usage: python benchmarks/same_verdict.py MODEL [RELEASES [COUNTING]]

The model's catalogue and home are those of the environment, as for any command.
"""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

_RELEASE = (sys.executable, "-m", "slipway", "release")


def main(model: str, releases: int = 20, counting: int = os.cpu_count() or 1) -> None:
    """Release, and print each verdict, the load during it, and how many verdicts are equal."""
    verdicts: Counter[str] = Counter()
    for number in range(1, releases + 1):
        started = time.monotonic()
        with _busy(counting if number % 2 == 0 else 0):
            verdict, reasons = _release(model)
            load, *_ = os.getloadavg()
        verdicts[verdict] += 1
        seconds = time.monotonic() - started
        found = f"{verdict}: {'; '.join(reasons)}"
        print(f"{number:3} load {load:4.1f} {seconds:4.0f} s  {found}", flush=True)
    verdict, count = verdicts.most_common(1)[0]
    print(f"{count} of {releases} releases were {verdict}")


def _release(model: str) -> tuple[str, list[str]]:
    done = subprocess.run(
        [*_RELEASE, model, "--force", "--json"], capture_output=True, text=True, check=False
    )
    try:
        verdict = json.loads(done.stdout)["verdict"]
    except (ValueError, LookupError):
        return f"an error with exit code {done.returncode}", done.stderr.splitlines()[-1:]
    return verdict["kind"], verdict["reasons"]


@contextmanager
def _busy(processes: int) -> Iterator[None]:
    """Keep so many cores busy while the body runs."""
    burners = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)
    ]
    try:
        yield
    finally:
        for each in burners:
            each.kill()
            each.wait()


if __name__ == "__main__":
    if sys.argv[1:]:
        main(sys.argv[1], *map(int, sys.argv[2:4]))
    else:
        print(__doc__)
