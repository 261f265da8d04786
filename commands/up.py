"""``slipway up`` and ``slipway ui``: servers on loopback, until they are stopped."""

import signal
import time
from collections.abc import Iterable
from types import FrameType

from commands import console
from deployments import services
from deployments.initial_version import ensure_pointer
from deployments.services import Service
from deployments.supervisor import Supervisor, require_free_ports
from slipway.settings import Settings
from slipway.system.network import answers

_LOOK_SECONDS = 2.0
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up() -> int:
    """Start all services, apply the deployments, and restart a service that exits; Ctrl-C stops."""
    settings = Settings()
    servers, workers = services.servers(settings), services.workers(settings)
    return _run(settings, servers, workers)


def ui() -> int:
    """Start the Prefect and MLflow servers, or print their addresses if both run; Ctrl-C stops."""
    settings = Settings()
    servers = services.servers(settings)
    if all(answers(server.health) for server in servers):
        console.facts("Both are running", {server.title: server.url for server in servers})
        return 0
    return _run(settings, servers, ())


def _run(settings: Settings, servers: tuple[Service, ...], workers: tuple[Service, ...]) -> int:
    require_free_ports((*servers, *workers))
    services.prepare(settings)
    for number in _ENDING:
        signal.signal(number, _interrupt)
    with Supervisor(settings, _tell) as supervisor:
        try:
            _start(supervisor, servers)
            if workers:
                variables = services.client_environment("apply", settings)
                supervisor.run("apply", ("-m", "deployments.apply"), variables)
                _start(supervisor, workers)
            _show((*servers, *workers), supervisor)
            while True:
                if workers:
                    ensure_pointer(settings)
                supervisor.look_after((*servers, *workers))
                time.sleep(_LOOK_SECONDS)
        except KeyboardInterrupt:
            _tell("slipway", "stopping")
            _ignore_signals()
    _tell("slipway", "stopped")
    return 0


def _start(supervisor: Supervisor, wanted: Iterable[Service]) -> None:
    """Start those that can start now, and wait until all of them are ready."""
    ready = [service for service in wanted if service.awaits is None or service.awaits.exists()]
    for service in ready:
        supervisor.start(service)
    for service in ready:
        supervisor.wait_for(service)


def _show(running: Iterable[Service], supervisor: Supervisor) -> None:
    print()
    addresses = {}
    for service in running:
        is_waiting = service.awaits is not None and not service.awaits.exists()
        addresses[service.title] = service.url + ("  once it has a champion" if is_waiting else "")
    addresses["logs"] = str(supervisor.log("*"))
    console.facts("Ctrl-C stops all of it", addresses)


def _tell(name: str, words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {name:13} {words}", flush=True)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _ignore_signals() -> None:
    """Let nothing interrupt the stop: a second Ctrl-C would leave processes behind."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
