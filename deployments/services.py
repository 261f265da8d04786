"""The services of one machine: how each is started, and which environment it receives.

``python -m deployments.services NAME`` runs one in the foreground; ``slipway up`` runs all.
"""

import os
import signal
import sys
from pathlib import Path

from pydantic import Field

from slipway.settings import PROJECT, Settings, environment
from slipway.system.network import host_and_port
from slipway.system.process import die_with_parent
from slipway.system.secret_files import secret, write
from slipway.system.secret_policy import visible
from slipway.values import Value

POOL = "slipway"

#: Time between two heartbeats of a flow run.
HEARTBEAT_SECONDS = 30


class Service(Value):
    """A process that runs all the time.

    Attributes:
        name: Its row in the policy of secrets, and a part of its log's name.
        title: Its purpose, for people.
        command: Arguments of the interpreter.
        variables: Environment variables beside those that every service receives.
        url: Where it listens.
        setting: The environment variable that changes ``url``.
        health: Address that answers when it is ready.
        awaits: File that has to exist before it can start.
    """

    name: str
    title: str
    command: tuple[str, ...]
    variables: dict[str, str] = Field(default={}, repr=False)
    url: str
    setting: str
    health: str
    awaits: Path | None = None


def servers(settings: Settings) -> tuple[Service, ...]:
    """Return the services that all others need."""
    return (prefect_server(settings), mlflow_server(settings))


def workers(settings: Settings) -> tuple[Service, ...]:
    """Return the services that need the servers, and the deployments on them."""
    return (worker(settings), receiver(settings), model_server(settings))


def prefect_server(settings: Settings) -> Service:
    """Return Prefect's server: runs, schedules, events, UI."""
    host, port = host_and_port(settings.prefect_url)
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
    address = (
        "--host",
        host,
        "--port",
        str(port),
        "--log-level",
        "warning",
    )  # no line for each request
    return Service(
        name="prefect",
        title="Prefect: runs, schedules, events, reports",
        command=(*application, *address),
        variables=variables,
        url=settings.prefect_url,
        setting="SLIPWAY_PREFECT_URL",
        health=f"{settings.prefect_url}/api/health",
    )


def mlflow_server(settings: Settings) -> Service:
    """Return MLflow's server; it serves the artifacts too, so clients need no shared folder."""
    host, port = host_and_port(settings.mlflow_url)
    artifacts = settings.artifacts or str(settings.mlflow / "artifacts")
    address = ("--host", host, "--port", str(port), "--workers", "1")
    hosts = ("--allowed-hosts", f"{host}:{port},localhost:{port}")
    storage = ("--serve-artifacts", "--artifacts-destination", artifacts)
    sign_in = ("--app-name", "basic-auth") if settings.auth else ()
    return Service(
        name="mlflow",
        title="MLflow: models, versions, figures",
        command=("-m", "mlflow", "server", *address, *hosts, *storage, *sign_in),
        variables=_mlflow_variables(settings),
        url=settings.mlflow_url,
        setting="SLIPWAY_MLFLOW_URL",
        health=f"{settings.mlflow_url}/health",
    )


def _mlflow_variables(settings: Settings) -> dict[str, str]:
    """Return what protects the server's own secrets, and lets its webhooks reach our receiver."""
    variables = {
        "MLFLOW_BACKEND_STORE_URI": settings.database,  # any user can read a command line
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": secret(settings.home, "webhook-encryption"),
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    }
    if settings.credentials:
        variables["MLFLOW_AUTH_CONFIG_PATH"] = str(_auth_file(settings))
        variables["MLFLOW_FLASK_SERVER_SECRET_KEY"] = secret(settings.home, "mlflow-forms")
    return variables


def _auth_file(settings: Settings) -> Path:
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
    write(_auth_file(settings), "\n".join(lines))


def worker(settings: Settings) -> Service:
    """Return the worker: it starts each flow run in a process of its own."""
    host, port = host_and_port(settings.worker_url)
    variables = {
        "PREFECT_WORKER_QUERY_SECONDS": "3",  # the default lets a queued run wait for up to 10 s
        "PREFECT_WORKER_WEBSERVER_HOST": host,
        "PREFECT_WORKER_WEBSERVER_PORT": str(port),
    }
    start = ("-m", "prefect", "worker", "start", "--pool", POOL, "--name", "slipway")
    return Service(
        name="worker",
        title=f"worker of the pool {POOL!r}",
        command=(*start, "--with-healthcheck"),
        variables=variables,
        url=settings.worker_url,
        setting="SLIPWAY_WORKER_URL",
        health=f"{settings.worker_url}/health",
    )


def receiver(settings: Settings) -> Service:
    """Return the receiver of webhooks, the only service that may be opened to other machines."""
    host, port = host_and_port(settings.receiver_url)
    return Service(
        name="receiver",
        title="receiver of webhooks",
        command=("-m", "deployments.receiver", "--host", host, "--port", str(port)),
        variables={"SLIPWAY_MLFLOW_WEBHOOK_SECRET": webhook_secret(settings)},
        url=settings.receiver_url,
        setting="SLIPWAY_RECEIVER_URL",
        health=f"{settings.receiver_url}/health",
    )


def model_server(settings: Settings) -> Service:
    """Return the model server, which starts when there is a champion."""
    host, port = host_and_port(settings.serving_url)
    pointer = settings.home.resolve() / "serving" / settings.serve / "pointer.json"
    address = ("--host", host, "--port", str(port), "--workers", "2")
    return Service(
        name="model-server",
        title=f"model server: {settings.serve}",
        command=("-m", "slipway.serving", "--pointer", str(pointer), *address),
        url=settings.serving_url,
        setting="SLIPWAY_SERVING_URL",
        health=f"{settings.serving_url}/health",
        awaits=pointer,
    )


def webhook_secret(settings: Settings) -> str:
    """Return the secret with which MLflow signs its webhooks."""
    if settings.mlflow_webhook_secret:
        return settings.mlflow_webhook_secret.get_secret_value()
    return secret(settings.home, "mlflow-webhook")


def client_variables(settings: Settings) -> dict[str, str]:
    """Return the addresses and the credentials that every service and every flow run receives."""
    home, catalogue = settings.home.resolve(), settings.catalogue.resolve()
    tracking = settings.tracking_uri
    return environment(settings) | {
        "PREFECT_API_URL": f"{settings.prefect_url}/api",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
        "MLFLOW_TRACKING_URI": tracking if tracking.startswith("http") else settings.mlflow_url,
        "SLIPWAY_HOME": str(home),
        "SLIPWAY_CATALOGUE": str(catalogue),
        "PYTHONUNBUFFERED": "1",
    }


def service_environment(service: Service, settings: Settings) -> dict[str, str]:
    """Return the whole environment of a service."""
    return client_environment(service.name, settings) | service.variables


def client_environment(who: str, settings: Settings) -> dict[str, str]:
    """Return the whole environment of a client of the servers, with the secrets of its row.

    Variables of this process take precedence over our defaults, except for addresses.
    """
    addresses = ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "SLIPWAY_HOME", "SLIPWAY_CATALOGUE")
    ours = client_variables(settings)
    return visible(who, ours | dict(os.environ) | {name: ours[name] for name in addresses})


def prepare(settings: Settings) -> None:
    """Make the folders and the file that the services need."""
    settings.mlflow.mkdir(parents=True, exist_ok=True)
    (settings.home / "prefect").mkdir(parents=True, exist_ok=True)  # Prefect makes no parents
    if settings.credentials:
        _write_auth(settings, *settings.credentials)


def named(name: str, settings: Settings) -> Service:
    """Return the service ``name``."""
    services = (*servers(settings), *workers(settings))
    return next(service for service in services if service.name == name)


def main(name: str) -> None:
    """Replace this process by the service ``name``."""
    settings = Settings()
    service = named(name, settings)
    die_with_parent(signal.SIGTERM)
    prepare(settings)
    os.chdir(PROJECT)
    variables = service_environment(service, settings)
    os.execve(sys.executable, [sys.executable, *service.command], variables)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1])
