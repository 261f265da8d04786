"""Starts services, restarts those that end, and stops them with everything that they started."""

import signal
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from deployments.services import Service, service_environment
from slipway.errors import PortTaken
from slipway.settings import PROJECT, Settings
from slipway.system import process as processes
from slipway.system.network import answers, host_and_port, is_taken, wait_until_answers
from slipway.system.process import Process, die_with_parent, last_line

_STOP_SECONDS = 20.0
_RESTART_SECONDS = 15.0  # between two starts of a service that ends

Tell = Callable[[str, str], None]


def require_free_ports(services: Iterable[Service]) -> None:
    """Check every port before anything is started.

    Raises:
        PortTaken: For the first service whose port is in use.
    """
    for service in services:
        if service.url and is_taken(service.url):
            raise PortTaken(service.name, host_and_port(service.url)[1], service.setting)


class Supervisor:
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
        """Return the log of a service."""
        return self._logs / f"up-{name}.log"

    def start(self, service: Service) -> None:
        """Start a service; its process has its own secrets only, from the first moment on."""
        self._unready.add(service.name)
        self._spawn(service.name, service.command, service_environment(service, self._settings))

    def _spawn(self, name: str, command: tuple[str, ...], variables: Mapping[str, str]) -> Process:
        self._tell(name, "starting")
        self._processes[name] = processes.spawn(
            name,
            command,
            self.log(name),
            variables,
            folder=PROJECT,
            at_start=partial(die_with_parent, signal.SIGTERM),
        )
        return self._processes[name]

    def wait_for(self, service: Service) -> None:
        """Wait until a service that was started is ready.

        Raises:
            StepCrashed: If it ended instead.
            Unreachable: If it is not ready in time.
        """
        process = self._processes[service.name]
        if service.health:
            wait_until_answers(service.name, service.health, lambda: _require_running(process))
        self._tell_ready(service)

    def _tell_ready(self, service: Service) -> None:
        self._unready.discard(service.name)
        seconds = self._processes[service.name].seconds
        self._tell(service.name, f"ready after {seconds:.0f} s")

    def run(self, name: str, command: tuple[str, ...], variables: Mapping[str, str]) -> None:
        """Run a command to its end.

        Raises:
            StepCrashed: If it ended with an error.
        """
        process = self._spawn(name, command, variables)
        if process.wait():
            raise process.crashed()
        del self._processes[name]
        self._tell(name, f"done after {process.seconds:.0f} s")

    def look_after(self, services: Iterable[Service]) -> None:
        """Start services that waited for a file which is there now, and those that have ended."""
        for service in services:
            process = self._processes.get(service.name)
            if process is None and (service.awaits is None or service.awaits.exists()):
                self.start(service)
            elif process is not None and not process.is_running():
                self._restart(service, process)
            elif service.name in self._unready and answers(service.health):
                self._tell_ready(service)

    def _restart(self, service: Service, ended: Process) -> None:
        """End what a service has left behind, which may hold its port; start it when it is due."""
        ended.end()
        if ended.seconds > _RESTART_SECONDS:
            reason = last_line(ended.log) or "no output"
            self._tell(service.name, f"ended by itself: {reason}")
            self.start(service)

    def stop(self) -> None:
        """Ask every process to end, and those that they started; kill what is still running."""
        processes.end(self._processes.values(), _STOP_SECONDS)
        self._processes.clear()


def _require_running(process: Process) -> bool:
    if not process.is_running():
        raise process.crashed()
    return True
