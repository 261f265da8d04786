"""Starts the parts, looks after them, and stops all that they started."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from deployments.services import Service, surroundings
from slipway.errors import PortTaken, StepCrashed
from slipway.settings import PROJECT, Settings
from slipway.system.network import answers, host_and_port, is_taken, wait_until_answers
from slipway.system.process import die_with_parent

_STOP_SECONDS = 20.0
_KILL_SECONDS = 5.0
_AGAIN_SECONDS = 15.0  # between two starts of a part that ends

Tell = Callable[[str, str], None]


def require_free_ports(parts: Iterable[Service]) -> None:
    """Check every port before anything is started.

    Raises:
        PortTaken: For the first part whose port is in use.
    """
    for part in parts:
        if part.url and is_taken(part.url):
            raise PortTaken(part.name, host_and_port(part.url)[1], part.setting)


class Supervisor:
    """Looks after parts; leaving it stops every process that they started, and theirs.

    Args:
        settings: Say where ``up-<part>.log`` is, to which all that a part says is added.
        tell: Told what happens: a part's name, and a few words.
    """

    def __init__(self, settings: Settings, tell: Tell) -> None:
        self._settings = settings
        self._logs = settings.home.resolve() / "logs"
        self._tell = tell
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._started: dict[str, float] = {}
        self._unready: set[str] = set()
        self._logs.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        """Begin with nothing started."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop everything."""
        self.stop()

    def log(self, name: str) -> Path:
        """Return where all that a part says is kept."""
        return self._logs / f"up-{name}.log"

    def start(self, part: Service) -> None:
        """Start a part; its process leads a group of its own, and at no moment has more secrets."""
        self._tell(part.name, "starting")
        self._started[part.name] = time.monotonic()
        self._unready.add(part.name)
        with self.log(part.name).open("ab") as log:
            self._processes[part.name] = subprocess.Popen(
                [sys.executable, *part.command],
                env=surroundings(part, self._settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=PROJECT,
                preexec_fn=partial(die_with_parent, signal.SIGTERM),  # noqa: PLW1509 - no threads
            )

    def wait_for(self, part: Service) -> None:
        """Wait until a part that was started is ready.

        Raises:
            StepCrashed: If it ended instead.
            Unreachable: If it is not ready in time.
        """
        process = self._processes[part.name]
        if part.health:
            wait_until_answers(part.name, part.health, lambda: self._lives(part.name, process))
        self._tell_ready(part)

    def _tell_ready(self, part: Service) -> None:
        self._unready.discard(part.name)
        seconds = time.monotonic() - self._started[part.name]
        self._tell(part.name, f"ready after {seconds:.0f} s")

    def _lives(self, name: str, process: subprocess.Popen[bytes]) -> bool:
        if process.poll() is not None:
            raise StepCrashed(name, last_line(self.log(name)), str(self.log(name)))
        return True

    def run(self, name: str, command: tuple[str, ...], variables: Mapping[str, str]) -> None:
        """Run something that ends, and wait for its end.

        Raises:
            StepCrashed: If it ended with an error.
        """
        self._tell(name, "starting")
        started = time.monotonic()
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *command],
                env=dict(variables),
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=PROJECT,
            )
        self._processes[name] = process
        if process.wait():
            raise StepCrashed(name, last_line(self.log(name)), str(self.log(name)))
        del self._processes[name]
        self._tell(name, f"done after {time.monotonic() - started:.0f} s")

    def look_after(self, parts: Iterable[Service]) -> None:
        """Start what may be started now: what waited for a file, and what has ended."""
        for part in parts:
            process = self._processes.get(part.name)
            if process is None and (part.awaits is None or part.awaits.exists()):
                self.start(part)
            elif process is not None and process.poll() is not None:
                self._start_again(part, process)
            elif part.name in self._unready and answers(part.health):
                self._tell_ready(part)

    def _start_again(self, part: Service, ended: subprocess.Popen[bytes]) -> None:
        """End what an ended part has left behind, which may keep its port; start it when due."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(ended.pid, signal.SIGKILL)
        if self._is_due(part):
            self._tell(part.name, f"ended by itself: {last_line(self.log(part.name))}")
            self.start(part)

    def _is_due(self, part: Service) -> bool:
        """Tell whether its last start is so long ago that it may be started again."""
        return time.monotonic() - self._started[part.name] > _AGAIN_SECONDS

    def stop(self) -> None:
        """Ask every process to end, those that others started too; after a while, end it."""
        family = self._family()
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while _running(family) and time.monotonic() < deadline:
            for process in self._processes.values():
                process.poll()  # or those that have ended would stay in the list of processes
            family |= self._family()
            time.sleep(0.1)
        late = _running(family)
        for each in late:
            with contextlib.suppress(psutil.Error):
                each.kill()
        psutil.wait_procs(late, timeout=_KILL_SECONDS)
        for process in self._processes.values():
            process.wait()
        self._processes.clear()

    def _family(self) -> set[psutil.Process]:
        found: set[psutil.Process] = set()
        for process in self._processes.values():
            with contextlib.suppress(psutil.Error):
                first = psutil.Process(process.pid)
                found |= {first, *first.children(recursive=True)}
        return found


def _running(family: set[psutil.Process]) -> list[psutil.Process]:
    return [each for each in family if each.is_running() and not _is_zombie(each)]


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True


def last_line(log: Path) -> str:
    """Return the last thing that a part said."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "not a word")
