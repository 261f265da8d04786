"""How a benchmark measures: ways in turn, commands in new processes, what a process tree costs."""

import ctypes
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from benchmarks.figure import Sample
from slipway.settings import PROJECT
from slipway.values import Value

_POLL_SECONDS = 0.05
_PR_SET_CHILD_SUBREAPER = 36


class Cost(Value):
    """What a command and all of its descendants cost.

    Attributes:
        peak_mb: Most memory of the command's own process; its children have their own.
        written_bytes: What all of them gave to the file system.
    """

    seconds: float
    peak_mb: float
    written_bytes: int
    exit_code: int
    output: str


def interleaved(ways: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, Sample]:
    """Measure each way once a round, every second round in the opposite order.

    Other work on the machine then affects all of them alike.

    Args:
        ways: By name, a measurement that returns its value.
        rounds: How often.
    """
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in list(ways)[:: -1 if number % 2 else 1]:
            found[name].append(ways[name]())
    return {name: Sample(rounds=tuple(values)) for name, values in found.items()}


def seconds(run: Callable[[], object]) -> float:
    """Return how long a function takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def python(*arguments: str, more: Mapping[str, str] = MappingProxyType({})) -> float:
    """Return how long a new interpreter takes; what it prints is shown if it fails."""
    return seconds(lambda: printed(*arguments, more=more))


def printed(*arguments: str, more: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return what a new interpreter printed.

    Args:
        *arguments: The interpreter's.
        more: Variables beside those of this process.
    """
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=PROJECT,
        env=environment(more),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr[-4000:]}")
    return done.stdout


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a command: no server or home of this machine is among them."""
    foreign = ("MLFLOW_", "PREFECT_", "SLIPWAY_")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(foreign)}
    return {**kept, "PYTHONPATH": str(PROJECT), **more}


def observed(*arguments: str, more: Mapping[str, str]) -> Cost:
    """Run an interpreter, and return what it and its descendants cost.

    An observer of its own inherits the descendants that outlive their parents, so the system counts
    what they wrote as the observer's.
    """
    return Cost.model_validate_json(printed("-m", "benchmarks.measure", *arguments, more=more))


def _observe(arguments: list[str]) -> Cost:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        started, peak_mb = time.perf_counter(), 0.0
        process = subprocess.Popen([sys.executable, *arguments], stdout=output)
        while process.poll() is None:
            peak_mb = max(peak_mb, _peak_mb(process.pid))
            time.sleep(_POLL_SECONDS)
        taken = time.perf_counter() - started
        _reap()
        output.seek(0)
        return Cost(
            seconds=taken,
            peak_mb=peak_mb,
            written_bytes=_io("write_bytes") - _io("cancelled_write_bytes"),
            exit_code=process.returncode,
            output=output.read(),
        )


def _reap() -> None:
    """Wait for every descendant that was left to this process."""
    try:
        while True:
            os.wait()
    except ChildProcessError:
        return


def _peak_mb(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:  # it has just ended
        return 0.0
    peaks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return float(peaks[0]) * 1024 / 1e6 if peaks else 0.0


def _io(name: str) -> int:
    lines = Path("/proc/self/io").read_text(encoding="utf-8").splitlines()
    return int(dict(line.split(": ") for line in lines)[name])


if __name__ == "__main__":
    print(_observe(sys.argv[1:]).model_dump_json())
