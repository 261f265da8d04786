"""Settings: what differs between machines. Read in tasks, commands and deployments, passed down."""

import os
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from slipway.errors import CatalogueInvalid

PROJECT = Path(__file__).resolve().parent.parent

#: Packages whose version shapes the bytes of an artifact or the behaviour of a wrapper.
TOOLS = ("mlflow", "onnxruntime", "onnxruntime-genai", "torch", "transformers")

#: Read by the libraries when they are imported: they report nothing to their makers.
TELEMETRY_OFF = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "ORT_DISABLE_TELEMETRY": "1",
}

_SHORTEST_PASSWORD = 12  # characters; MLflow refuses shorter ones


class Settings(BaseSettings):
    """Read from environment variables that begin with ``SLIPWAY_``.

    Attributes:
        home: Folder of all state: store, MLflow, Prefect, logs.
        catalogue: The models to release.
        expectations: Folder of suites, schemas and smoke prompts.
        wrappers: Folder of the files that are shipped inside a model.
        hub_endpoint: The Hub's address; empty for the public Hub.
        tracking_uri: MLflow's address; empty for a database below ``home``.
        mlflow_url: Address of the MLflow server and UI.
        prefect_url: Address of the Prefect server and UI.
        receiver_url: Address of the webhook receiver.
        serving_url: Address of the model server.
        worker_url: Address of the worker's health check.
        artifacts: Where the MLflow server keeps artifacts; empty for a folder below ``home``.
        serve: The model that the model server serves.
        auth: ``user:password`` of both servers; without it both accept unauthenticated requests.
        mlflow_webhook_secret: Signs MLflow's webhooks; without it, a secret of this machine's own.
        notify_block: Prefect block for messages, as ``type/name``; without it none are sent.
        parallel_runs: Most flow runs at once on this machine; one of them may be a release.
        step_timeout_seconds: Time limit of one child process.
        step_memory_gb: Memory limit of one child process; None for no limit of ours.
        speed_rounds: How often each candidate is loaded and timed; the median counts.
        load_timeout_seconds: Time limit of a model server for loading a version.
        serving_queue: Requests that may wait in one worker of a server; more get status 429.
        serving_max_tokens: Most tokens of one answer; longer answers are cut.
        serving_request_seconds: Time limit of one request, the wait included.
    """

    model_config = SettingsConfigDict(env_prefix="SLIPWAY_", frozen=True)

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            faults = (f"{_variable(each['loc'][0])}: {each['msg']}" for each in error.errors())
            raise CatalogueInvalid("the environment", tuple(faults)) from error

    home: Path = PROJECT / ".slipway"
    catalogue: Path = PROJECT / "catalogue.toml"
    expectations: Path = PROJECT / "expectations"
    wrappers: Path = PROJECT / "wrappers"
    hub_endpoint: str = Field(default="", validation_alias="HF_ENDPOINT")
    tracking_uri: str = Field(default="", validation_alias="MLFLOW_TRACKING_URI", repr=False)
    mlflow_url: str = "http://127.0.0.1:5000"
    prefect_url: str = "http://127.0.0.1:4200"
    receiver_url: str = "http://127.0.0.1:8090"
    serving_url: str = "http://127.0.0.1:8080"
    worker_url: str = "http://127.0.0.1:8091"
    artifacts: str = ""
    serve: str = "smollm2-135m"
    auth: SecretStr | None = None
    mlflow_webhook_secret: SecretStr | None = None
    notify_block: str = Field(default="", pattern=r"^([^/]+/[^/]+)?$")
    parallel_runs: int = Field(default=4, ge=2)
    step_timeout_seconds: float = Field(default=3600, gt=0)
    step_memory_gb: float | None = Field(default=None, gt=0)
    speed_rounds: int = Field(default=3, ge=1)
    load_timeout_seconds: float = Field(default=600, gt=0)
    serving_queue: int = Field(default=16, ge=0)
    serving_max_tokens: int = Field(default=4096, gt=0)
    serving_request_seconds: float = Field(default=300, gt=0)

    @field_validator("auth")
    @classmethod
    def _named_and_long(cls, auth: SecretStr | None) -> SecretStr | None:
        user, _, password = auth.get_secret_value().partition(":") if auth else ("", "", "")
        if auth and (not user or len(password) < _SHORTEST_PASSWORD):
            expected = f"expected user:password, a password of {_SHORTEST_PASSWORD} or more"
            raise ValueError(expected)
        return auth

    @field_validator(
        "hub_endpoint",
        "tracking_uri",
        "mlflow_url",
        "prefect_url",
        "receiver_url",
        "serving_url",
        "worker_url",
    )
    @classmethod
    def _without_a_password(cls, address: str) -> str:
        """Refuse a password in an address, since addresses are shown; a database's is not shown."""
        if address.startswith("http") and has_password(address):
            expected = "expected an address without a password; SLIPWAY_AUTH or HF_TOKEN signs in"
            raise ValueError(expected)
        return address

    @property
    def credentials(self) -> tuple[str, str] | None:
        """User and password of both servers; None if they accept unauthenticated requests."""
        if self.auth is None:
            return None
        user, _, password = self.auth.get_secret_value().partition(":")
        return user, password

    @property
    def mlflow(self) -> Path:
        """Folder of MLflow's database and artifacts, if no server keeps them."""
        return self.home.resolve() / "mlflow"

    @property
    def registry(self) -> str:
        """Address of the tracking store and the model registry."""
        return self.tracking_uri or self.database

    @property
    def database(self) -> str:
        """Address of the database of our own MLflow server."""
        if self.tracking_uri and not self.tracking_uri.startswith("http"):
            return self.tracking_uri
        return f"sqlite:///{self.mlflow / 'mlflow.db'}"

    @property
    def has_registry(self) -> bool:
        """Whether there may be a registry; connecting to a missing database would create it."""
        return not self.registry.startswith("sqlite") or (self.mlflow / "mlflow.db").is_file()


def _variable(field: int | str) -> str:
    """Return the environment variable that sets ``field``."""
    name = str(field)
    return name if name.isupper() else f"SLIPWAY_{name.upper()}"


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment variables that the libraries need on this machine.

    Prefect keeps its state below our home, both servers' clients sign in, and nothing is reported.
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
        }
    )


def _signed_in(settings: Settings) -> dict[str, str]:
    if settings.auth is None or settings.credentials is None:
        return {}
    user, password = settings.credentials
    return {
        "PREFECT_API_AUTH_STRING": settings.auth.get_secret_value(),
        "MLFLOW_TRACKING_USERNAME": user,
        "MLFLOW_TRACKING_PASSWORD": password,
    }


def disable_telemetry() -> None:
    """Switch the libraries' telemetry off in this process; call it before they are imported."""
    for name, value in TELEMETRY_OFF.items():
        os.environ.setdefault(name, value)


def sign_in(settings: Settings) -> None:
    """Let the servers' clients in this process sign in, unless the environment says how already."""
    for name, text in _signed_in(settings).items():
        os.environ.setdefault(name, text)


def toolchain() -> dict[str, str]:
    """Return the installed version of every tool in ``TOOLS``, without a build's label."""
    return {tool: version(tool).split("+")[0] for tool in TOOLS}


_PASSWORD_IN_ADDRESS = re.compile(r"://[^/?#\s]*:[^/?#\s]+@")


def has_password(address: str) -> bool:
    """Return whether an address has a user and a password in it."""
    return bool(_PASSWORD_IN_ADDRESS.search(address))
