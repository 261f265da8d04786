"""The services of one machine: how each is started, and which environment it receives.

``python -m deployments.services NAME`` runs one in the foreground; ``slipway up`` runs all.
"""

import base64
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from socket import gethostname

import psutil
from pydantic import Field

from slipway import catalogue
from slipway.errors import AlreadyRunning, Exposed, SlipwayError
from slipway.settings import EVERY_CHAMPION, PROJECT, Settings, auth_file, environment
from slipway.system import server_note, temporary
from slipway.system.network import allowed_hosts, host_and_port, is_loopback
from slipway.system.process import command, die_with_parent
from slipway.system.secret_files import keep_private, secret, write
from slipway.system.secret_policy import visible
from slipway.values import Value

#: Work pools: of everything that is no release, and of releases, by the device of their machines.
POOL, RELEASE_POOLS = "slipway", ("cpu", "cuda")

#: Path of the page that signs a browser in to Prefect's UI, with the password after ``#``.
SIGN_IN = "/sign-in"

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
        url: Where it listens.
        setting: The environment variable that changes ``url``.
        health_path: Answers when it is ready.
        awaits: Files of which one has to exist before it can start; none if it can at once.
        ready_seconds: How long a start may take.
    """

    name: str
    title: str
    command: tuple[str, ...]
    variables: dict[str, str] = Field(default={}, repr=False)
    url: str
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


def _at(url: str) -> tuple[str, ...]:
    host, port = host_and_port(url)
    return ("--host", host, "--port", str(port))


def prefect_server(settings: Settings) -> Service:
    """Return Prefect's server: runs, schedules, events, UI."""
    variables = {
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
            # Leases in memory would outlive a crash of their holder.
            "prefect.server.concurrency.lease_storage.filesystem"
        ),
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": settings.prefect_url,
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        # By default, the key of the encrypted blocks lies in the same database as the blocks.
        "PREFECT_SERVER_ENCRYPTION_KEY": secret(settings.home, "block-encryption"),
    }
    if settings.auth:
        variables["PREFECT_SERVER_API_AUTH_STRING"] = settings.auth.get_secret_value()
    application = ("-m", "uvicorn", "--factory", "deployments.prefect_app:create")
    without_requests = ("--log-level", "warning")
    return Service(
        name="prefect",
        title="Prefect: runs, schedules, events, reports",
        command=(*application, *_at(settings.prefect_url), *without_requests),
        variables=variables,
        url=settings.prefect_url,
        setting="SLIPWAY_PREFECT_URL",
        health_path="/api/health",
    )


def mlflow_server(settings: Settings) -> Service:
    """Return MLflow's server; it serves the artifacts too, so clients need no shared folder."""
    artifacts = settings.artifacts or str(settings.artifacts_folder)
    storage = ("--serve-artifacts", "--artifacts-destination", artifacts)
    sign_in = ("--app-name", "basic-auth") if settings.auth else ()
    server = ("-m", "mlflow", "server", *_at(settings.mlflow_url), "--workers", "1")
    return Service(
        name="mlflow",
        title="MLflow: models, versions, figures",
        command=(*server, *storage, *sign_in),
        variables=_mlflow_variables(settings),
        url=settings.mlflow_url,
        setting="SLIPWAY_MLFLOW_URL",
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
    for name in sorted(allowed_hosts(settings.mlflow_url, settings.allowed_hosts)):
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
    return Service(
        name="worker",
        title=f"worker of the pool {POOL!r}",
        command=_work(POOL),
        variables=_worker_variables(settings.worker_url),
        url=settings.worker_url,
        setting="SLIPWAY_WORKER_URL",
    )


def release_worker(settings: Settings) -> Service:
    """Return the worker that releases models, as many at once as this machine has memory for."""
    limit = releases_at_once(settings, psutil.virtual_memory().total)
    return Service(
        name="release-worker",
        title=f"worker of the pool {settings.pool!r}",
        command=(*_work(settings.pool), "--limit", str(limit)),
        variables=_worker_variables(settings.release_worker_url),
        url=settings.release_worker_url,
        setting="SLIPWAY_RELEASE_WORKER_URL",
    )


def releases_at_once(settings: Settings, memory_bytes: int) -> int:
    """Return how many releases a machine has room for; one, if a step of one may take it all."""
    if settings.step_memory_gb is None:
        return 1
    return max(1, int(memory_bytes / 1e9 / (_RUN_MEMORY_GB + settings.step_memory_gb)))


def _work(pool: str) -> tuple[str, ...]:
    start = ("-m", "prefect", "worker", "start", "--pool", pool, "--name", gethostname())
    return (*start, "--with-healthcheck")


def _worker_variables(url: str) -> dict[str, str]:
    host, port = host_and_port(url)
    return {
        "PREFECT_WORKER_QUERY_SECONDS": "3",  # the default lets a queued run wait for up to 10 s
        "PREFECT_WORKER_WEBSERVER_HOST": host,
        "PREFECT_WORKER_WEBSERVER_PORT": str(port),
    }


def receiver(settings: Settings) -> Service:
    """Return the receiver of webhooks, the only service that may be opened to other machines."""
    return Service(
        name="receiver",
        title="receiver of webhooks",
        command=("-m", "deployments.receiver", *_at(settings.receiver_url)),
        variables={"SLIPWAY_MLFLOW_WEBHOOK_SECRET": webhook_secret(settings)},
        url=settings.receiver_url,
        setting="SLIPWAY_RECEIVER_URL",
    )


def model_server(settings: Settings) -> Service:
    """Return the model server, which starts when one of its models has a champion."""
    models = served_models(settings)
    pointers = tuple(settings.server_folders / model / "pointer.json" for model in models)
    server = ("-m", "slipway.serving", "--pointer", *map(str, pointers), "--workers", "2")
    return Service(
        name="model-server",
        title=f"model server: {', '.join(models)}",
        command=(*server, *_at(settings.serving_url)),
        url=settings.serving_url,
        health_path="/ready",
        setting="SLIPWAY_SERVING_URL",
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

    The receiver knows its senders, and the model server its keys.
    """
    servers = (settings.prefect_url, settings.mlflow_url)
    urls = (*servers, settings.worker_url, settings.release_worker_url)
    return tuple(url for url in urls if not is_loopback(host_and_port(url)[0]))


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
    settings.mlflow.mkdir(parents=True, exist_ok=True)
    (settings.home / "prefect").mkdir(parents=True, exist_ok=True)  # Prefect makes no parents
    if settings.credentials:
        _write_auth(settings, *settings.credentials)


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
    prepare(settings)
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
