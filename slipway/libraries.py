"""What the libraries below us find: their settings in the environment, and their own versions."""

import base64
import os
from importlib.metadata import version
from pathlib import Path

from slipway.errors import CatalogueInvalid
from slipway.settings import LOOPBACK_NAMES, Settings

#: Packages whose version shapes the bytes of an artifact or the behaviour of a wrapper.
TOOLS = (
    *("jinja2", "mlflow", "onnxruntime", "onnxruntime-genai"),
    *("tokenizers", "torch", "transformers"),
)

#: Read by the libraries when they are imported: they report nothing to their makers.
TELEMETRY_OFF = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # The traces of a release stay in MLflow, wherever the model server sends the spans of requests.
    "MLFLOW_ENABLE_OTLP_EXPORTER": "false",
    # A server on S3 would hand out addresses of its bucket, which its clients may have no way to.
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    "ORT_DISABLE_TELEMETRY": "1",
}

#: Time between two heartbeats of a flow run; without one for four times as long, it is crashed.
HEARTBEAT_SECONDS = 30

#: What tells MLflow's client where to go, and as whom.
MLFLOW_CLIENT = (
    *("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME"),
    *("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "MLFLOW_REGISTRY_URI"),
)


def disable_telemetry() -> None:
    """Switch the libraries' telemetry off in this process; call it before they are imported."""
    for name, value in TELEMETRY_OFF.items():
        os.environ.setdefault(name, value)


def environment(settings: Settings) -> dict[str, str]:
    """Return what the libraries read from the environment, however a process is started.

    Prefect keeps its state below our home, both servers' clients sign in, and nothing is reported.
    A variable that a flow run needs belongs here: ``flows`` sets all of them when it is imported.
    """
    prefect = settings.home.resolve() / "prefect"
    return (
        _signed_in(settings)
        | TELEMETRY_OFF
        | {
            "PREFECT_HOME": str(prefect),
            "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(prefect / "results"),
            "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
            "PREFECT_LOGGING_EXTRA_LOGGERS": "",
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
            # A server answers so while its database restarts, or a proxy while the server does.
            "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500,504",
            "PYTHONSAFEPATH": "1",  # Prefect's temporary server imports nothing from this folder
        }
    )


def apply_environment(settings: Settings) -> None:
    """Set ``environment`` in this process; what is set already, stays."""
    (settings.home / "prefect").mkdir(parents=True, exist_ok=True)  # Prefect makes no parents
    for name, text in environment(settings).items():
        os.environ.setdefault(name, text)
    reach_loopback_directly()


def reach_loopback_directly() -> None:
    """Keep requests to this machine away from a proxy, in this process and its children.

    No proxy reaches another machine's loopback, so a client without this waits for its time limit.
    """
    listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    names = [name.strip() for name in listed.split(",") if name.strip()]
    if names == ["*"]:  # understood by itself alone
        return
    every = ",".join([*names, *(name for name in LOOPBACK_NAMES if name not in names)])
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = every


def sign_in(settings: Settings) -> None:
    """Let the servers' clients in this process sign in, unless the environment says how already."""
    for name, text in _signed_in(settings).items():
        os.environ.setdefault(name, text)


def mlflow_headers(settings: Settings) -> dict[str, str]:
    """Return the header with which a request signs in to MLflow as its client does.

    What the environment says counts before the password of this home's servers.

    Args:
        settings: Those that name the server, which ``Settings.in_use`` gives.
    """
    named = [os.environ.get(f"MLFLOW_TRACKING_{each}") for each in ("USERNAME", "PASSWORD")]
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    if token and not all(named):
        return {"Authorization": f"Bearer {token}"}
    user, password = named if all(named) else settings.credentials or ("", "")
    return basic_header(f"{user}:{password}") if user else {}


def basic_header(user_and_password: str) -> dict[str, str]:
    """Return the header with which a request signs in with ``user:password``."""
    return {"Authorization": f"Basic {base64.b64encode(user_and_password.encode()).decode()}"}


def _signed_in(settings: Settings) -> dict[str, str]:
    """Return what signs clients in; a generated password is sent to this home's servers alone."""
    if settings.auth is None or settings.credentials is None:
        return {}
    variables = {}
    if settings.signs_in_at(settings.prefect_api_url, settings.prefect_url):
        variables["PREFECT_API_AUTH_STRING"] = settings.auth.get_secret_value()
    if settings.signs_in_at(settings.tracking_uri, settings.mlflow_url):
        user, password = settings.credentials
        variables |= {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": password}
    return variables


def password_file(settings: Settings, name: str) -> Path:
    """Return the file with ``user:password`` for the server of an environment."""
    return settings.home.resolve() / "secrets" / f"{name}.auth"


def environment_client(settings: Settings, name: str) -> dict[str, str]:
    """Return those variables of ``MLFLOW_CLIENT`` that reach an environment and sign in to it.

    Raises:
        SourceMissing: If the settings have none of this name.
        CatalogueInvalid: If the file of its password holds something else.
    """
    reached = {"MLFLOW_TRACKING_URI": settings.environment_of(name).tracking_uri}
    file = password_file(settings, name)
    if not file.is_file():
        return reached
    user, _, password = file.read_text(encoding="utf-8").strip().partition(":")
    if not user or not password:
        raise CatalogueInvalid(str(file), ("sign-in: got something else (expected user:password)",))
    return reached | {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": password}


def toolchain() -> dict[str, str]:
    """Return the installed version of every tool in ``TOOLS``, without a build's label."""
    return {tool: version(tool).split("+")[0] for tool in TOOLS}
