"""``slipway up`` and ``slipway ui``: servers on loopback, until they are stopped."""

import signal
import time
from collections.abc import Iterable
from types import FrameType

from commands import console
from deployments import services
from deployments.initial_version import appoint
from deployments.services import Service
from deployments.supervisor import Supervisor, require_free_ports
from slipway.settings import Settings
from slipway.system.network import answers

_LOOK_SECONDS = 2.0
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up() -> int:
    """Start everything on this machine, apply the deployments, and look after it; Ctrl-C stops."""
    settings = Settings()
    servers, workers = services.servers(settings), services.workers(settings)
    return _run(settings, servers, workers)


def ui() -> int:
    """Start the Prefect and MLflow UIs on loopback; Ctrl-C stops both."""
    settings = Settings()
    servers = services.servers(settings)
    if all(answers(part.health) for part in servers):
        console.facts("Both run already", {part.title: part.url for part in servers})
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
                variables = services.client_surroundings("apply", settings)
                supervisor.run("apply", ("-m", "deployments.apply"), variables)
                _start(supervisor, workers)
            _show((*servers, *workers), supervisor)
            while True:
                if workers:
                    appoint(settings)
                supervisor.look_after((*servers, *workers))
                time.sleep(_LOOK_SECONDS)
        except KeyboardInterrupt:
            _tell("slipway", "stopping")
            _ignore_signals()
    _tell("slipway", "stopped")
    return 0


def _start(supervisor: Supervisor, wanted: Iterable[Service]) -> None:
    """Start all that can be, then wait for each: they get ready side by side."""
    ready = [part for part in wanted if part.awaits is None or part.awaits.exists()]
    for part in ready:
        supervisor.start(part)
    for part in ready:
        supervisor.wait_for(part)


def _show(running: Iterable[Service], supervisor: Supervisor) -> None:
    print()
    addresses = {part.title: part.url or "" for part in running}
    waiting = [part for part in running if part.awaits and not part.awaits.exists()]
    addresses |= {part.title: f"{part.url}  once it has a champion" for part in waiting}
    addresses["logs"] = str(supervisor.log("*"))
    console.facts("Ctrl-C stops all of it", addresses)


def _tell(name: str, words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {name:13} {words}", flush=True)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _ignore_signals() -> None:
    """Let nothing interrupt the stopping: a second Ctrl-C would leave processes behind."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
