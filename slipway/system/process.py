"""The one way in which this project starts, watches and ends a process.

A process leads a session of its own, works in this checkout, receives only the variables of its row
in the allow-list, writes to a log, and is ended together with everything that it started.
"""

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol, Self

import psutil

from slipway.errors import StepCrashed, StepFailed, StepOutOfMemory, StepTimedOut
from slipway.libraries import TELEMETRY_OFF
from slipway.settings import PROJECT
from slipway.system.secret_policy import visible

_POLL_SECONDS = 0.1
_KILL_SECONDS = 5.0
_REASON_CHARACTERS = 300

#: Set for every child that runs our own code: nothing is downloaded, no pickle is opened, and no
#: library takes a Git repository around it for its own (the builder writes a commit into graphs).
#: Large tensors are in huge pages, since thousands of small ones take longer to provide than to
#: fill (https://sourceware.org/glibc/manual/latest/html_node/Memory-Allocation-Tunables.html).
_IMPOSED = {
    "GIT_DIR": os.devnull,
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "HF_HUB_OFFLINE": "1",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "PYTHONUNBUFFERED": "1",
}


@dataclass(frozen=True)
class ProcessLimits:
    """What a process may use.

    Attributes:
        timeout_seconds: Longest run.
        memory_bytes: Most memory at once, that of its descendants included; None for no limit.
        logs: Folder for logs.
        strict: Whether the system holds the process to them as well: it refuses more memory, and
            ends the process with SIGALRM. For work that loads no model, since libraries reserve
            more memory than they use.
    """

    timeout_seconds: float
    memory_bytes: int | None
    logs: Path
    strict: bool = False


class Handle(Protocol):
    """What this module needs of a process that was started, as ``subprocess.Popen`` offers it."""

    pid: int

    def poll(self) -> int | None:
        """Return the exit status, negative for a signal; None while the process is running."""

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status; raises ``subprocess.TimeoutExpired``."""


@dataclass(frozen=True)
class Process:
    """A process that was started here; ``started`` is in seconds of the monotonic clock."""

    name: str
    log: Path
    handle: Handle
    started: float = field(default_factory=time.monotonic)

    @property
    def pid(self) -> int:
        """Its process id, which is also that of its group and its session."""
        return self.handle.pid

    @property
    def seconds(self) -> float:
        """Time since its start."""
        return time.monotonic() - self.started

    def is_running(self) -> bool:
        """Tell whether the process has not ended."""
        return self.handle.poll() is None

    def wait(self, seconds: float | None = None) -> int | None:
        """Return the exit status, or None if the process is still running after ``seconds``."""
        try:
            return self.handle.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def require_limits(self, limits: ProcessLimits) -> int:
        """Return the bytes that the process and its descendants hold now.

        Raises:
            StepOutOfMemory: If these are more than the limit.
            StepTimedOut: If the process has run longer than the limit.
        """
        held = held_bytes(self.pid)
        if limits.memory_bytes is not None and held > limits.memory_bytes:
            raise StepOutOfMemory(self.name, held, str(self.log))
        if self.seconds > limits.timeout_seconds:
            raise StepTimedOut(self.name, limits.timeout_seconds, str(self.log))
        return held

    def crashed(self, marker: str = "") -> StepCrashed:
        """Return the error for a process that has ended, or has to, without its result.

        In its log, ``marker`` precedes the message of an error.
        """
        status = self.handle.poll()
        if status is not None and status < 0:
            reason = f"killed by {_signal_name(-status)}"
            return StepCrashed(self.name, reason, str(self.log), -status)
        silent = "no output" if status is None else f"exit status {status}, no output"
        return StepCrashed(self.name, last_line(self.log, marker) or silent, str(self.log))

    def end(self, grace_seconds: float = 0) -> None:
        """End the process and everything that it started; see ``end``."""
        end((self,), grace_seconds)


class Watch:
    """Ends a process, and what it started, at its limits, whatever its caller does meanwhile.

    Attributes:
        peak_bytes: Most memory that the process and its descendants held at once.
        error: Why the process was ended; None if it was not.
    """

    def __init__(self, process: Process, limits: ProcessLimits) -> None:
        self.peak_bytes = 0
        self.error: StepFailed | None = None
        self._process, self._limits = process, limits
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while self.error is None and not self._done.wait(_POLL_SECONDS):
            try:
                held = self._process.require_limits(self._limits)
                self.peak_bytes = max(self.peak_bytes, held)
            except StepFailed as error:
                self.error = error
                kill(process_tree(self._process.pid))


def environment(who: str, variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a process that runs our own code.

    Args:
        who: Its row in the allow-list.
        variables: What to choose from; this process's environment by default.
    """
    return TELEMETRY_OFF | visible(who, os.environ if variables is None else variables) | _IMPOSED


def command(*arguments: str) -> list[str]:
    """Return the command line of a Python process that imports nothing from its folder."""
    return [sys.executable, "-P", *arguments]


def spawn(  # noqa: PLR0913 - as many as the system takes
    name: str,
    arguments: Sequence[str],
    log: Path,
    variables: Mapping[str, str],
    *,
    stdin: IO[bytes] | None = None,
    pass_fds: Sequence[int] = (),
    at_start: Callable[[], None] | None = None,
) -> Process:
    """Start a Python process in a session of its own, with this checkout as its folder.

    Args:
        name: Name of the step or service.
        arguments: Arguments of the interpreter.
        log: File that receives its output, at its end.
        variables: Its whole environment.
        stdin: What it reads; nothing by default.
        pass_fds: Descriptors that it inherits.
        at_start: Runs in the process before the interpreter; only for a parent without threads.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        handle = subprocess.Popen(
            command(*arguments),
            stdin=stdin or subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(variables),
            cwd=PROJECT,
            start_new_session=True,
            pass_fds=pass_fds,
            preexec_fn=at_start,  # noqa: PLW1509 - see the argument
        )
    return Process(name, log, handle)


def end(processes: Iterable[Process], grace_seconds: float = 0) -> None:
    """End processes and everything that they started.

    Args:
        processes: The processes; those that have ended may have left others behind.
        grace_seconds: Time between SIGTERM and SIGKILL; 0 kills at once.
    """
    roots = tuple(processes)
    found = _tree(roots)
    if grace_seconds:
        _signal_groups(roots, signal.SIGTERM)
        deadline = time.monotonic() + grace_seconds
        while _running(found) and time.monotonic() < deadline:
            found |= _tree(roots)
            time.sleep(_POLL_SECONDS)
    _signal_groups(roots, signal.SIGKILL)
    kill(found)
    for root in roots:
        root.handle.wait()


def kill(processes: Iterable[psutil.Process]) -> None:
    """Kill processes and wait until they have ended; their parents still learn how."""
    found = _running(processes)
    for each in found:
        with contextlib.suppress(psutil.Error):
            each.kill()
    deadline = time.monotonic() + _KILL_SECONDS
    while _running(found) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS / 10)


def process_tree(pid: int) -> list[psutil.Process]:
    """Return a process and its descendants; empty if the process has ended."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def start_seconds(pid: int) -> float:
    """Return when a process started, after its machine did: a clock that is set changes nothing.

    Raises:
        psutil.Error: If there is no such process.
    """
    while True:
        boot = psutil.boot_time()
        created = psutil.Process(pid).create_time()
        if psutil.boot_time() == boot:  # else the clock was set between the two
            return round(created - boot, 2)


def held_bytes(pid: int) -> int:
    """Return the memory that a process and its descendants hold.

    Of descendants only the memory counts that is theirs alone: one that was just forked still shows
    the memory of its parent as well.
    """
    return sum(_held_bytes(each, is_root=each.pid == pid) for each in process_tree(pid))


def _held_bytes(process: psutil.Process, *, is_root: bool) -> int:
    """Return all memory of a root, and of others what is theirs alone; 0 once it has ended."""
    try:
        return int(process.memory_info().rss if is_root else process.memory_full_info().uss)
    except psutil.Error:
        return 0


def last_line(log: Path, marker: str = "") -> str:
    """Return the last line of a log, shortened; empty if there is none.

    The text after the last ``marker`` is preferred, if a line has one. A clean-up deletes the log
    of a service that has written nothing for long.
    """
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    marked = [line.partition(marker)[2] for line in lines if marker in line] if marker else []
    return (marked or lines or [""])[-1][:_REASON_CHARACTERS]


def peak_memory_bytes() -> int:
    """Return the most memory that this process has held; 0 where the system does not report it.

    Not ``ru_maxrss``: on Linux that begins with what the parent held, see getrusage(2).
    """
    status = Path("/proc/self/status")
    text = status.read_text(encoding="utf-8") if status.is_file() else ""
    found = re.search(r"^VmHWM:\s*(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def describe(error: Exception) -> str:
    """Return an unexpected error as one short line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:_REASON_CHARACTERS]


def die_with_parent(how: signal.Signals = signal.SIGKILL) -> None:
    """Ask Linux to signal this process when its parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, how)  # PR_SET_PDEATHSIG, see prctl(2)


def _tree(roots: Iterable[Process]) -> set[psutil.Process]:
    return {each for root in roots if root.is_running() for each in process_tree(root.pid)}


def _signal_groups(roots: Iterable[Process], number: signal.Signals) -> None:
    for root in roots:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(root.pid, number)


def _running(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    return [each for each in processes if each.is_running() and not _is_zombie(each)]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # Python names two of the real-time signals
        return f"signal {number}"


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True
