"""``slipway up`` and ``slipway ui``: servers on loopback, until they are stopped."""

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType

from commands import console, home
from deployments import services
from deployments.initial_version import ensure_pointers
from deployments.services import Service
from deployments.supervisor import Supervisor, require_free_ports
from slipway import catalogue
from slipway.errors import CatalogueInvalid, SlipwayError
from slipway.serving.api_keys import require_keys
from slipway.settings import Settings, auth_file
from slipway.system import server_note
from slipway.system.network import answers, host_and_port
from slipway.system.process import describe
from slipway.tracking import pages
from slipway.tracking.location import mlflow_location

_LOOK_SECONDS = 2.0
_APPLY_SECONDS = 60.0  # between two tries to apply the same catalogue
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up(*, open: bool = False) -> int:  # noqa: A002 - the option's name
    """Start all services, apply the deployments, and restart a service that exits; Ctrl-C stops.

    Args:
        open: Start Prefect and MLflow without a password. Every user of this machine can then run
            commands on the worker.
    """
    settings = _settings(is_open=open)
    require_keys(host_and_port(settings.listens_at("serving"))[0], settings)
    return _run(settings, services.servers, services.workers)


def ui(*, open: bool = False) -> int:  # noqa: A002 - the option's name
    """Start the Prefect and MLflow servers, or print their addresses if both run; Ctrl-C stops.

    Args:
        open: Start them without a password.
    """
    settings = _settings(is_open=open)
    servers = services.servers(settings)
    if all(answers(server.health) for server in servers):
        addresses = {_name(server): _page(server) for server in servers}
        console.facts("Both are running", addresses | _password(settings))
        return 0
    return _run(settings, services.servers)


def _settings(*, is_open: bool) -> Settings:
    if is_open:
        os.environ["SLIPWAY_OPEN"] = "true"  # for the services too
    settings = Settings()
    home.require_writable(settings)
    return settings


def _run(settings: Settings, *groups: Callable[[Settings], tuple[Service, ...]]) -> int:
    """Start each group when the one before is ready, and look after all of them until a signal."""
    services.require_none_running(settings)
    services.require_drivers(settings)
    mlflow_location(settings)  # raises where nothing can be released
    require_free_ports(service for group in groups for service in group(settings))
    had_password = settings.auth is not None
    settings = services.with_password(settings)
    servers, *rest = (group(settings) for group in groups)
    workers = tuple(service for group in rest for service in group)
    services.prepare(settings)
    for number in _ENDING:
        signal.signal(number, _interrupt)
    with Supervisor(settings, _tell) as supervisor:
        applied = AppliedCatalogue(settings.catalogue, partial(_apply, supervisor, settings))
        try:
            for server in servers:
                server_note.leave(settings.home, server.name, server.url)
            _start(supervisor, servers)
            if workers:
                applied.apply()
                _start(supervisor, workers)
            if settings.credentials and not had_password:
                _show_new_password(settings, *settings.credentials)
            _show((*servers, *workers), settings, supervisor)
            looks: list[Callable[[], None]] = [partial(supervisor.look_after, (*servers, *workers))]
            if workers:
                awaited = [file for each in workers for file in each.awaits]
                looks += [partial(ensure_pointers, awaited, settings), applied.apply_changed]
            faults = set[str]()
            while True:
                faults = take(looks, faults)
                time.sleep(_LOOK_SECONDS)
        except KeyboardInterrupt:
            _tell("slipway", "stopping")
            _ignore_signals()
    server_note.remove(settings.home)
    _tell("slipway", "stopped")
    return 0


def take(looks: Iterable[Callable[[], None]], before: set[str]) -> set[str]:
    """Take each look, and go on if the machine fails it, as with a full disk or no memory left.

    Args:
        looks: They raise an ``OSError`` if they fail.
        before: The faults of the last time, which are not printed again.

    Returns:
        The faults of this time.
    """
    faults = set[str]()
    for look in looks:
        try:
            look()
        except OSError as error:
            faults.add(describe(error))
    for fault in faults - before:
        _tell("slipway", f"{fault}; the other services go on, and this is tried again")
    return faults


def _apply(supervisor: Supervisor, settings: Settings) -> None:
    variables = services.client_environment("apply", settings)
    supervisor.run("apply", ("-m", "deployments.apply"), variables)


class AppliedCatalogue:
    """Applies the catalogue, and again when it has changed: to the run form and the schedules.

    Args:
        file: The catalogue.
        apply: Applies it to the servers; raises a ``SlipwayError`` if that fails.
    """

    def __init__(self, file: Path, apply: Callable[[], None]) -> None:
        self._file, self._apply = file, apply
        self._done = self._tried = _state(file)
        self._tried_seconds = 0.0

    def apply(self) -> None:
        """Apply the catalogue as it is now."""
        state = _state(self._file)
        self._apply()
        self._done = state

    def apply_changed(self) -> None:
        """Apply the catalogue if it has changed; if that fails, again after a pause.

        One with faults is not applied before it has changed again.
        """
        state = _state(self._file)
        is_due = state != self._tried or time.monotonic() > self._tried_seconds + _APPLY_SECONDS
        if state == self._done or not is_due:
            return
        self._tried, self._tried_seconds = state, time.monotonic()
        try:
            catalogue.load(self._file)
            _tell("catalogue", "has changed")
            self.apply()
        except SlipwayError as error:
            if isinstance(error, CatalogueInvalid):
                self._done = state
            _tell("catalogue", f"has changed, and is not applied: {' '.join(str(error).split())}")


def _state(file: Path) -> tuple[int, int] | None:
    """Return what differs after a file was written; None if it cannot be read."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _start(supervisor: Supervisor, wanted: Iterable[Service]) -> None:
    """Start those that can start now, and wait until all of them are ready."""
    ready = [service for service in wanted if not service.is_waiting]
    for service in ready:
        supervisor.start(service)
    for service in ready:
        supervisor.wait_for(service)


def _show_new_password(settings: Settings, user: str, password: str) -> None:
    """Print the password that was generated now; it is printed at no other time."""
    console.say(
        f"\nBoth UIs require a password, which is printed only now: user {user}, {password}"
    )
    link = services.sign_in_link(settings.prefect_url, user, password)
    console.say(f"  {link} signs you in to Prefect")
    console.say(f"  {pages.models(settings.mlflow_url)} is MLflow; your browser asks for both")


def _show(running: Iterable[Service], settings: Settings, supervisor: Supervisor) -> None:
    console.say()
    addresses = {
        _name(each): _page(each) + ("  once it has a champion" if each.is_waiting else "")
        for each in running
    }
    logs = {"logs": str(supervisor.log("*"))}
    console.facts("Ctrl-C stops all of it", addresses | _password(settings) | logs)


def _name(service: Service) -> str:
    """Return the title without its details, so that an address is not broken at 80 columns."""
    return service.title.partition(":")[0]


def _page(service: Service) -> str:
    """Return what people open of a service."""
    return pages.models(service.url) if service.name == "mlflow" else service.url


def _password(settings: Settings) -> dict[str, str]:
    if settings.open:
        return {"password": "none: every user of this machine can run commands on the worker"}
    if settings.auth is None:
        return {}
    where = auth_file(settings.home) if settings.auth_is_generated else "SLIPWAY_AUTH"
    return {"password": f"user:password of {where}"}


def _tell(name: str, words: str) -> None:
    with suppress(OSError):  # what is printed may go to a file on a full disk
        console.say(f"{time.strftime('%H:%M:%S')}  {name:13} {words}")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _ignore_signals() -> None:
    """Let nothing interrupt the stop: a second Ctrl-C would leave processes behind."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
