"""The parts that run all the time: how each is started, and what it finds in its environment.

``python -m deployments.parts NAME`` runs one part in the foreground; ``slipway up`` runs all.
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

#: How often a flow run says that it is alive.
HEARTBEAT_SECONDS = 30


class Service(Value):
    """One process that runs all the time.

    Attributes:
        name: Its name, also that of its log.
        title: What it is for, for people.
        command: What Python runs.
        variables: What it finds in its environment beside ours.
        url: Where it listens; nothing else may.
        setting: The environment variable that moves it elsewhere.
        health: Answers when it is ready.
        awaits: File that has to be there before it can start.
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
    """Return the parts that all others talk to."""
    return (prefect_server(settings), mlflow_server(settings))


def workers(settings: Settings) -> tuple[Service, ...]:
    """Return the parts that need the servers and what is applied to them."""
    return (worker(settings), receiver(settings), model_server(settings))


def prefect_server(settings: Settings) -> Service:
    """Return Prefect's server: runs, schedules, events, UI."""
    host, port = host_and_port(settings.prefect_url)
    variables = {
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
            "prefect.server.concurrency.lease_storage.filesystem"  # in memory, a crash keeps them
        ),
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": settings.prefect_url,
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        # Left alone, the key to its blocks would lie in the same database as they.
        "PREFECT_SERVER_ENCRYPTION_KEY": secret(settings.home, "block-encryption"),
    }
    if settings.auth:
        variables["PREFECT_SERVER_API_AUTH_STRING"] = settings.auth.get_secret_value()
    application = ("-m", "uvicorn", "--factory", "deployments.prefect_app:create")
    place = ("--host", host, "--port", str(port), "--log-level", "warning")  # no line a request
    return Service(
        name="prefect",
        title="Prefect: runs, schedules, events, reports",
        command=(*application, *place),
        variables=variables,
        url=settings.prefect_url,
        setting="SLIPWAY_PREFECT_URL",
        health=f"{settings.prefect_url}/api/health",
    )


def mlflow_server(settings: Settings) -> Service:
    """Return MLflow's server: the registry, and the artifacts, so that clients need no folder."""
    host, port = host_and_port(settings.mlflow_url)
    artifacts = settings.artifacts or str(settings.mlflow / "artifacts")
    store = ("--artifacts-destination", artifacts)
    place = ("--host", host, "--port", str(port), "--workers", "1")
    hosts = ("--allowed-hosts", f"{host}:{port},localhost:{port}")
    signing_in = ("--app-name", "basic-auth") if settings.auth else ()
    return Service(
        name="mlflow",
        title="MLflow: models, versions, figures",
        command=(
            "-m",
            "mlflow",
            "server",
            *store,
            *place,
            *hosts,
            "--serve-artifacts",
            *signing_in,
        ),
        variables=_mlflow_variables(settings),
        url=settings.mlflow_url,
        setting="SLIPWAY_MLFLOW_URL",
        health=f"{settings.mlflow_url}/health",
    )


def _mlflow_variables(settings: Settings) -> dict[str, str]:
    """Return what keeps the server's own secrets, and lets its webhooks reach our receiver."""
    variables = {
        "MLFLOW_BACKEND_STORE_URI": settings.database,  # any user may read a command line
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
    """Write what MLflow's basic-auth reads: who may do all, and that others may do nothing."""
    lines = (
        "[mlflow]",
        "default_permission = NO_PERMISSIONS",
        f"database_uri = sqlite:///{settings.mlflow / 'users.db'}",
        f"admin_username = {user}",
        f"admin_password = {password.replace('%', '%%')}",  # as configparser reads it
        "auth_cache_ttl_seconds = 300",  # or each request costs a tenth of a second of a core
        "",
    )
    write(_auth_file(settings), "\n".join(lines))


def worker(settings: Settings) -> Service:
    """Return the worker: it starts each flow run in a process of its own."""
    host, port = host_and_port(settings.worker_url)
    variables = {
        "PREFECT_WORKER_QUERY_SECONDS": "3",  # a queued run would otherwise wait up to 10 s
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
    """Return the receiver of webhooks, the only part that others may be let in to."""
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
    place = ("--host", host, "--port", str(port), "--workers", "2")
    return Service(
        name="model-server",
        title=f"model server: {settings.serve}",
        command=("-m", "slipway.serving", "--pointer", str(pointer), *place),
        url=settings.serving_url,
        setting="SLIPWAY_SERVING_URL",
        health=f"{settings.serving_url}/health",
        awaits=pointer,
    )


def webhook_secret(settings: Settings) -> str:
    """Return what MLflow signs its webhooks with, and the receiver verifies them by."""
    if settings.mlflow_webhook_secret:
        return settings.mlflow_webhook_secret.get_secret_value()
    return secret(settings.home, "mlflow-webhook")


def client_variables(settings: Settings) -> dict[str, str]:
    """Return what every part and every flow run finds: where things are, and who it is."""
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


def surroundings(part: Service, settings: Settings) -> dict[str, str]:
    """Return the whole environment of a part."""
    return client_surroundings(part.name, settings) | part.variables


def client_surroundings(who: str, settings: Settings) -> dict[str, str]:
    """Return the whole environment of what talks to the servers, with the secrets that it needs.

    What the machine's own says of ours wins.
    """
    addresses = ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "SLIPWAY_HOME", "SLIPWAY_CATALOGUE")
    ours = client_variables(settings)
    return visible(who, ours | dict(os.environ) | {name: ours[name] for name in addresses})


def prepare(settings: Settings) -> None:
    """Make the folders and the file that the parts take for granted."""
    settings.mlflow.mkdir(parents=True, exist_ok=True)
    (settings.home / "prefect").mkdir(parents=True, exist_ok=True)  # Prefect makes no parents
    if settings.credentials:
        _write_auth(settings, *settings.credentials)


def named(name: str, settings: Settings) -> Service:
    """Return the part of that name."""
    parts = (*servers(settings), *workers(settings))
    return next(part for part in parts if part.name == name)


def main(name: str) -> None:
    """Become the part of that name, until it ends."""
    settings = Settings()
    part = named(name, settings)
    die_with_parent(signal.SIGTERM)
    prepare(settings)
    os.chdir(PROJECT)
    os.execve(sys.executable, [sys.executable, *part.command], surroundings(part, settings))  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1])
