"""The services of one machine: how each is started, and which environment it receives.

``python -m deployments.services NAME`` runs one in the foreground; ``slipway up`` runs all.
"""

import base64
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from socket import gethostname
from typing import get_args

from pydantic import Field

from slipway import catalogue
from slipway.errors import AlreadyRunning, Exposed, ExtraMissing, SlipwayError
from slipway.libraries import environment
from slipway.serving.server_file import POINTER
from slipway.settings import (
    EVERY_CHAMPION,
    PROJECT,
    SERVE_QUEUE,
    ReleasePool,
    Settings,
    auth_file,
)
from slipway.system import memory, server_note, temporary
from slipway.system.network import host_and_port, hosts_of, is_loopback
from slipway.system.process import command, die_with_parent
from slipway.system.secret_files import keep_private, secret, write
from slipway.system.secret_policy import visible
from slipway.values import Value

#: Work pools: of everything that is no release, and of releases, by the device of their machines.
POOL, RELEASE_POOLS = "slipway", get_args(ReleasePool)

#: Path of the page that signs a browser in to Prefect's UI, with the password after ``#``.
SIGN_IN = "/sign-in"

#: The package that reaches a store, by the scheme of its address.
_DRIVERS = {"s3": "boto3", "postgresql": "psycopg2"}

_USER = "slipway"  # of a generated password
_READY_SECONDS = 180.0
_RUN_MEMORY_GB = 1.0  # of a release's own process, beside that of its steps


class Service(Value):
    """A process that runs all the time.

    Attributes:
        name: Its row in the policy of secrets, and a part of its log's name.
        title: Its purpose, for people.
        command: Arguments of the interpreter.
        variables: Environment variables beside those that every service receives.
        url: Where it is found.
        listens: Where it listens, as a URL.
        setting: The environment variable that changes ``listens``.
        health_path: Answers when it is ready.
        awaits: Files of which one has to exist before it can start; none if it can at once.
        ready_seconds: How long a start may take.
    """

    name: str
    title: str
    command: tuple[str, ...]
    variables: dict[str, str] = Field(default={}, repr=False)
    url: str
    listens: str
    setting: str
    health_path: str = "/health"
    awaits: tuple[Path, ...] = ()
    ready_seconds: float = _READY_SECONDS

    @property
    def health(self) -> str:
        """Address that answers when it is ready."""
        return self.url + self.health_path

    @property
    def is_waiting(self) -> bool:
        """Whether it cannot start yet."""
        return bool(self.awaits) and not any(file.exists() for file in self.awaits)


def servers(settings: Settings) -> tuple[Service, ...]:
    """Return the services that all others need."""
    return (prefect_server(settings), mlflow_server(settings))


def workers(settings: Settings) -> tuple[Service, ...]:
    """Return the services that need the servers, and the deployments on them."""
    others = (receiver(settings), model_server(settings))
    return (worker(settings), release_worker(settings), *others)


def _at(settings: Settings, part: str) -> tuple[str, ...]:
    host, port = host_and_port(settings.listens_at(part))
    return ("--host", host, "--port", str(port))


def _place(settings: Settings, part: str) -> dict[str, str]:
    """Return the fields of a service that say where it is."""
    name = f"{part}_listen" if getattr(settings, f"{part}_listen") else f"{part}_url"
    return {
        "url": settings.found_at(part),
        "listens": settings.listens_at(part),
        "setting": f"SLIPWAY_{name.upper()}",
    }


def prefect_server(settings: Settings) -> Service:
    """Return Prefect's server: runs, schedules, events, UI."""
    addresses = (settings.prefect_url, settings.public_prefect_url)
    variables = {
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
            # Leases in memory would outlive a crash of their holder.
            "prefect.server.concurrency.lease_storage.filesystem"
        ),
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(filter(None, addresses)),
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        # By default, it copies its pages into its package, which it may not change in a container.
        "PREFECT_UI_STATIC_DIRECTORY": str(settings.home.resolve() / "prefect" / "ui"),
        # By default, the key of the encrypted blocks lies in the same database as the blocks.
        "PREFECT_SERVER_ENCRYPTION_KEY": secret(settings.home, "block-encryption"),
    }
    if settings.public_prefect_url:  # browsers cannot reach what the other parts ask
        variables["PREFECT_UI_API_URL"] = f"{settings.public_prefect_url}/api"
    if settings.auth:
        variables["PREFECT_SERVER_API_AUTH_STRING"] = settings.auth.get_secret_value()
    application = ("-m", "uvicorn", "--factory", "deployments.prefect_app:create")
    without_requests = ("--log-level", "warning")
    return Service(
        name="prefect",
        title="Prefect: runs, schedules, events, reports",
        command=(*application, *_at(settings, "prefect"), *without_requests),
        variables=variables,
        **_place(settings, "prefect"),
        health_path="/api/health",
    )


def mlflow_server(settings: Settings) -> Service:
    """Return MLflow's server; it serves the artifacts too, so clients need no shared folder."""
    artifacts = settings.artifacts or str(settings.artifacts_folder)
    storage = ("--serve-artifacts", "--artifacts-destination", artifacts)
    sign_in = ("--app-name", "basic-auth") if settings.auth else ()
    server = ("-m", "mlflow", "server", *_at(settings, "mlflow"), "--workers", "1")
    return Service(
        name="mlflow",
        title="MLflow: models, versions, figures",
        command=(*server, *storage, *sign_in),
        variables=_mlflow_variables(settings),
        **_place(settings, "mlflow"),
    )


def _mlflow_variables(settings: Settings) -> dict[str, str]:
    """Return what protects the server and its secrets, and lets its webhooks reach our receiver."""
    names = tuple(_mlflow_names(settings))
    pages = (f"{scheme}://{name}" for scheme in ("http", "https") for name in names)
    variables = {
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(names),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(pages),
        "MLFLOW_BACKEND_STORE_URI": settings.database,  # any user can read a command line
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": secret(settings.home, "webhook-encryption"),
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    }
    if settings.credentials:
        variables["MLFLOW_AUTH_CONFIG_PATH"] = str(_mlflow_auth_file(settings))
        variables["MLFLOW_FLASK_SERVER_SECRET_KEY"] = secret(settings.home, "mlflow-forms")
    return variables


def _mlflow_names(settings: Settings) -> Iterator[str]:
    """Yield the patterns of names under which MLflow is reached, with any port and with none."""
    for name in sorted(hosts_of(settings, "mlflow")):
        host = f"[{name}]" if ":" in name else name
        yield from (host, f"{host.replace('[', '[[]')}:*")


def _mlflow_auth_file(settings: Settings) -> Path:
    return settings.home.resolve() / "secrets" / "mlflow-auth.ini"


def _write_auth(settings: Settings, user: str, password: str) -> None:
    """Write the configuration of MLflow's basic-auth: an administrator, and nothing for others."""
    lines = (
        "[mlflow]",
        "default_permission = NO_PERMISSIONS",
        f"database_uri = sqlite:///{settings.mlflow / 'users.db'}",
        f"admin_username = {user}",
        f"admin_password = {password.replace('%', '%%')}",  # as configparser reads it
        "auth_cache_ttl_seconds = 300",  # without, each request takes 0.1 s of a core
        "",
    )
    write(_mlflow_auth_file(settings), "\n".join(lines))


def worker(settings: Settings) -> Service:
    """Return the worker: it starts each flow run that is no release in a process of its own."""
    queues = (own_queue() if each == SERVE_QUEUE else each for each in settings.worker_queues)
    return Service(
        name="worker",
        title=f"worker of the pool {POOL!r}",
        command=("-m", "deployments.worker", *queues),
        variables=_worker_variables(settings, "worker"),
        **_place(settings, "worker"),
    )


def release_worker(settings: Settings) -> Service:
    """Return the worker that releases models, as many at once as this machine has memory for."""
    limit = str(releases_at_once(settings, memory.total_bytes()))
    return Service(
        name="release-worker",
        title=f"worker of the pool {settings.pool!r}",
        command=(*prefect_worker(settings.pool), "--limit", limit),
        variables=_worker_variables(settings, "release_worker"),
        **_place(settings, "release_worker"),
    )


def releases_at_once(settings: Settings, memory_bytes: int) -> int:
    """Return how many releases a machine has room for; one, if a step of one may take it all."""
    if settings.step_memory_gb is None:
        return 1
    return max(1, int(memory_bytes / 1e9 / (_RUN_MEMORY_GB + settings.step_memory_gb)))


def prefect_worker(pool: str) -> tuple[str, ...]:
    """Return the interpreter's arguments that start a worker of a pool, called after its host."""
    start = ("-m", "prefect", "worker", "start", "--pool", pool, "--name", gethostname())
    return (*start, "--with-healthcheck")


def _worker_variables(settings: Settings, part: str) -> dict[str, str]:
    host, port = host_and_port(settings.listens_at(part))
    return {
        "PREFECT_WORKER_QUERY_SECONDS": "3",  # the default lets a queued run wait for up to 10 s
        "PREFECT_WORKER_WEBSERVER_HOST": host,
        "PREFECT_WORKER_WEBSERVER_PORT": str(port),
    }


def serve_queue(host: str) -> str:
    """Return the queue of the redeploys of a host's model server."""
    return f"{SERVE_QUEUE}-{host}"


def own_queue() -> str:
    """Return the queue of the redeploys of this host's model server."""
    return serve_queue(gethostname())


def receiver(settings: Settings) -> Service:
    """Return the receiver of webhooks, which accepts senders by their secret or signature."""
    return Service(
        name="receiver",
        title="receiver of webhooks",
        command=("-m", "deployments.receiver", *_at(settings, "receiver")),
        variables={"SLIPWAY_MLFLOW_WEBHOOK_SECRET": webhook_secret(settings)},
        **_place(settings, "receiver"),
    )


def model_server(settings: Settings) -> Service:
    """Return the model server, which starts when one of its models has a champion."""
    models = served_models(settings)
    pointers = tuple(settings.server_folders / model / POINTER for model in models)
    server = ("-m", "slipway.serving", "--pointer", *map(str, pointers), "--workers", "2")
    return Service(
        name="model-server",
        title=f"model server: {', '.join(models)}",
        command=(*server, *_at(settings, "serving")),
        **_place(settings, "serving"),
        health_path="/ready",
        awaits=pointers,
        ready_seconds=_READY_SECONDS * len(pointers),  # their models are loaded one by one
    )


def served_models(settings: Settings) -> tuple[str, ...]:
    """Return the models that the model server serves as soon as they have a champion.

    Raises:
        CatalogueInvalid: If every model is to be served, and the catalogue has faults.
    """
    if settings.serve == (EVERY_CHAMPION,):
        return tuple(catalogue.load(settings.catalogue))
    return settings.serve


def webhook_secret(settings: Settings) -> str:
    """Return the secret with which MLflow signs its webhooks."""
    if settings.mlflow_webhook_secret:
        return settings.mlflow_webhook_secret.get_secret_value()
    return secret(settings.home, "mlflow-webhook")


def service_environment(service: Service, settings: Settings) -> dict[str, str]:
    """Return the whole environment of a service."""
    return client_environment(service.name, settings) | service.variables


def client_environment(who: str, settings: Settings) -> dict[str, str]:
    """Return the whole environment of a client of the servers, with the secrets of its row.

    Variables of this process take precedence over our defaults, except for addresses.
    """
    tracking = settings.tracking_uri
    prefect = f"{settings.prefect_url}/api"
    ours = settings.model_copy(update={"prefect_api_url": prefect})
    defaults = environment(ours) | {"PYTHONUNBUFFERED": "1"}
    addresses = {
        "PREFECT_API_URL": prefect,
        "MLFLOW_TRACKING_URI": tracking if tracking.startswith("http") else settings.mlflow_url,
        "SLIPWAY_HOME": str(settings.home.resolve()),
        "SLIPWAY_CATALOGUE": str(settings.catalogue.resolve()),
    }
    return visible(who, defaults | dict(os.environ) | addresses)


def exposed(settings: Settings) -> tuple[str, ...]:
    """Return where other machines reach a service that the password has to protect.

    One that listens on loopback and is found elsewhere has a proxy in front of it. The receiver
    knows its senders, and the model server its keys.
    """
    parts = ("prefect", "mlflow", "worker", "release_worker")
    urls = (url for each in parts for url in (settings.listens_at(each), settings.found_at(each)))
    return tuple(dict.fromkeys(url for url in urls if not is_loopback(host_and_port(url)[0])))


def with_password(settings: Settings) -> Settings:
    """Return settings with a password, unless the servers are to be open; generate it if need be.

    Raises:
        Exposed: If other machines reach a service, and nobody chose a password.
    """
    chosen = settings.auth and not settings.auth_is_generated
    if not chosen and (urls := exposed(settings)):
        raise Exposed(urls)
    if settings.auth is None and not settings.open:
        secret(settings.home, auth_file(settings.home).name, f"{_USER}:")
        return Settings()
    return settings


def sign_in_link(prefect_url: str, user: str, password: str) -> str:
    """Return the address that signs a browser in to Prefect's UI.

    No server receives what follows ``#``. MLflow's UI has no such address: a browser that takes
    user and password from one refuses the page's own requests.
    """
    key = base64.b64encode(f"{user}:{password}".encode()).decode()
    return f"{prefect_url}{SIGN_IN}#{key}"


def prepare(settings: Settings) -> None:
    """Make the folders and the file that the services need."""
    make_folders(settings)
    if settings.credentials:
        _write_auth(settings, *settings.credentials)


def make_folders(settings: Settings) -> None:
    """Make the folders that the services need."""
    settings.mlflow.mkdir(parents=True, exist_ok=True)
    (settings.home / "prefect").mkdir(parents=True, exist_ok=True)  # Prefect makes no parents


def require_drivers(settings: Settings) -> None:
    """Check that MLflow's server finds the packages that reach its stores.

    Without boto3, it would start, and answer the first upload with an internal error.

    Raises:
        ExtraMissing: If one is not installed.
    """
    if missing := missing_driver(settings):
        raise ExtraMissing(missing, "containers")


def missing_driver(settings: Settings) -> str | None:
    """Return the package that a store of MLflow's server needs, and that is not installed."""
    addresses = (settings.artifacts, settings.database)
    needed = (_DRIVERS.get(each.partition(":")[0].partition("+")[0]) for each in addresses)
    return next((each for each in needed if each and not find_spec(each)), None)


def require_none_running(settings: Settings) -> None:
    """Check that no server works on the databases of this home.

    Raises:
        AlreadyRunning: If one does.
    """
    for server in servers(settings):
        if note := server_note.find(settings.home, server.name):
            raise AlreadyRunning(server.name, str(settings.home), note.pid, note.url)


_SERVICES: Mapping[str, Callable[[Settings], Service]] = {
    "prefect": prefect_server,
    "mlflow": mlflow_server,
    "worker": worker,
    "release-worker": release_worker,
    "receiver": receiver,
    "model-server": model_server,
}


def named(name: str, settings: Settings) -> Service:
    """Return the service ``name``."""
    return _SERVICES[name](settings)


def main(name: str) -> None:
    """Replace this process by the service ``name``."""
    settings = Settings()
    keep_private(settings.home)
    if name in {"prefect", "mlflow"}:
        settings = with_password(settings)
    service = named(name, settings)
    die_with_parent(signal.SIGTERM)
    if name == "mlflow":
        require_drivers(settings)
        prepare(settings)
    else:  # on a worker's machine, nobody needs the file with MLflow's password
        make_folders(settings)
    temporary.claim(settings.home)
    server_note.leave(settings.home, name, service.url)
    os.chdir(PROJECT)
    variables = service_environment(service, settings)
    os.execve(sys.executable, command(*service.command), variables)  # noqa: S606


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except SlipwayError as failure:
        sys.stderr.write(f"{failure}\n")
        sys.exit(failure.exit_code)
