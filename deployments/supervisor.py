"""Starts services, restarts those that end, and stops them with everything that they started."""

import os
import shutil
import signal
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from deployments.services import Service, service_environment
from slipway.errors import PortTaken
from slipway.settings import Settings
from slipway.system import process as processes
from slipway.system.network import answers, host_and_port, is_taken, wait_until_answers
from slipway.system.process import Process, die_with_parent, last_line

#: A larger log is rotated; most copies of one.
LOG_BYTES, LOG_COPIES = 10_000_000, 3

_STOP_SECONDS = 20.0
_RESTART_SECONDS = 15.0  # between two starts of a service that ends

Tell = Callable[[str, str], None]


def require_free_ports(services: Iterable[Service]) -> None:
    """Check every port before anything is started."""
    for service in services:
        if is_taken(service.listens):
            raise PortTaken(service.name, host_and_port(service.listens)[1], service.setting)


class Supervisor(AbstractContextManager["Supervisor"]):
    """Looks after services; leaving the context stops them all.

    Args:
        settings: Their home has the log ``up-<service>.log`` of each.
        tell: Called with the name of a service and a few words when its state changes.
    """

    def __init__(self, settings: Settings, tell: Tell) -> None:
        self._settings = settings
        self._logs = settings.home.resolve() / "logs"
        self._tell = tell
        self._processes: dict[str, Process] = {}
        self._unready: set[str] = set()

    def __exit__(self, *_error: object) -> None:
        """Ask every process to end, and those that they started; kill what is still running."""
        processes.end(self._processes.values(), _STOP_SECONDS)

    def log(self, name: str) -> Path:
        """Return the log of a service."""
        return self._logs / f"up-{name}.log"

    def start(self, service: Service) -> None:
        """Start a service; its process has its own secrets only, from the first moment on."""
        self._spawn(service.name, service.command, service_environment(service, self._settings))
        self._unready.add(service.name)

    def _spawn(self, name: str, command: tuple[str, ...], variables: Mapping[str, str]) -> Process:
        rotate(self.log(name))
        self._processes[name] = processes.spawn(
            name,
            command,
            self.log(name),
            variables,
            at_start=partial(die_with_parent, signal.SIGTERM),
        )
        self._tell(name, "starting")
        return self._processes[name]

    def wait_for(self, service: Service) -> None:
        """Wait until a service that was started is ready; raises an error if it ends instead."""
        process = self._processes[service.name]
        wait_until_answers(
            service.name,
            service.health,
            lambda: _require_running(process),
            timeout_seconds=service.ready_seconds,
        )
        self._tell_ready(service)

    def _tell_ready(self, service: Service) -> None:
        self._unready.discard(service.name)
        seconds = self._processes[service.name].seconds
        self._tell(service.name, f"ready after {seconds:.0f} s")

    def run(self, name: str, command: tuple[str, ...], variables: Mapping[str, str]) -> None:
        """Run a command to its end; raises an error if it ends with one."""
        process = self._spawn(name, command, variables)
        status = process.wait()
        del self._processes[name]
        if status:
            raise process.crashed()
        self._tell(name, f"done after {process.seconds:.0f} s")

    def look_after(self, services: Iterable[Service]) -> None:
        """Start services that waited for a file which is there now, and those that have ended.

        Logs that have grown are rotated.

        Raises:
            OSError: If the machine can start no process, or empty no log; the next call goes on.
        """
        for service in services:
            process = self._processes.get(service.name)
            if process is None and not service.is_waiting:
                self.start(service)
            elif process is not None and not process.is_running():
                self._restart(service, process)
            elif service.name in self._unready and answers(service.health):
                self._tell_ready(service)
        for process in self._processes.values():
            rotate(process.log)

    def _restart(self, service: Service, ended: Process) -> None:
        """End what a service has left behind, which may hold its port; start it when it is due."""
        ended.end()
        if ended.seconds > _RESTART_SECONDS:
            reason = last_line(ended.log) or "no output"
            self._tell(service.name, f"ended by itself: {reason}")
            del self._processes[service.name]  # so that it is started later if it cannot be now
            self.start(service)


def rotate(log: Path) -> None:
    """Copy a log that has grown to ``.1``, older copies to the next number, and empty it.

    Its service goes on writing at its end: the file is open for appending. On a full disk there is
    no copy: the log is emptied all the same.
    """
    if not log.is_file() or log.stat().st_size <= LOG_BYTES:
        return
    for number in range(LOG_COPIES - 1, 0, -1):
        if (copy := _copy(log, number)).is_file():
            copy.rename(_copy(log, number + 1))
    try:
        shutil.copyfile(log, _copy(log, 1))
    except OSError:
        _copy(log, 1).unlink(missing_ok=True)
    os.truncate(log, 0)


def _copy(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")


def _require_running(process: Process) -> bool:
    if not process.is_running():
        raise process.crashed()
    return True
