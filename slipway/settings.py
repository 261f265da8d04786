"""What differs from machine to machine; read at the edge and passed down."""

import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from slipway.errors import CatalogueInvalid

PROJECT = Path(__file__).resolve().parent.parent

#: Packages whose version shapes the bytes of an artifact or the behaviour of a wrapper.
TOOLS = ("mlflow", "onnxruntime", "onnxruntime-genai", "torch", "transformers")


class Settings(BaseSettings):
    """Read from environment variables that begin with ``SLIPWAY_``.

    Attributes:
        home: Where all state lives: store, MLflow, Prefect, logs.
        catalogue: The models that we release.
        expectations: Folder of suites, schemas and smoke prompts.
        wrappers: Folder of the files that are shipped inside a model.
        tracking_uri: MLflow's address; a database below ``home`` when it is not set.
        mlflow_url: Where people see the MLflow UI, for links.
        prefect_url: Where people see the Prefect UI, for links.
        step_timeout_seconds: Longest that one child process may run.
        step_memory_gb: Most that one child process may hold; None leaves it to the system.
        load_timeout_seconds: Longest that a model server may take to load a version.
        serving_queue: Requests that may wait in one worker of a server; more are told to come back.
        serving_max_tokens: Most tokens of one answer; who asks for more gets an answer cut there.
        serving_request_seconds: Longest that one request may take, the wait included.
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
    tracking_uri: str = Field(default="", validation_alias="MLFLOW_TRACKING_URI")
    mlflow_url: str = "http://127.0.0.1:5000"
    prefect_url: str = "http://127.0.0.1:4200"
    step_timeout_seconds: float = Field(default=3600, gt=0)
    step_memory_gb: float | None = Field(default=None, gt=0)
    load_timeout_seconds: float = Field(default=600, gt=0)
    serving_queue: int = Field(default=16, ge=0)
    serving_max_tokens: int = Field(default=4096, gt=0)
    serving_request_seconds: float = Field(default=300, gt=0)

    @property
    def mlflow(self) -> Path:
        """Folder of MLflow's database and artifacts, while no server keeps them."""
        return self.home.resolve() / "mlflow"

    @property
    def registry(self) -> str:
        """Address of the tracking store and the model registry."""
        return self.tracking_uri or f"sqlite:///{self.mlflow / 'mlflow.db'}"

    @property
    def has_registry(self) -> bool:
        """Whether there may be a registry: asking a database that is not there would make it."""
        return not self.registry.startswith("sqlite") or (self.mlflow / "mlflow.db").is_file()


def _variable(field: int | str) -> str:
    """Return the environment variable that sets ``field``."""
    name = str(field)
    return name if name.isupper() else f"SLIPWAY_{name.upper()}"


def environment(settings: Settings) -> dict[str, str]:
    """Return what Prefect must find in its environment to keep its state below our home."""
    prefect = settings.home.resolve() / "prefect"
    return {
        "PREFECT_HOME": str(prefect),
        "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(prefect / "results"),
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "",
    }


def secrets() -> frozenset[str]:
    """Return the names of environment variables that no child process of a step may see.

    MLflow's own credentials stay: the children that log and load need them.
    """
    words = ("TOKEN", "PASSWORD", "SECRET", "AUTH_STRING", "API_KEY")
    named = (name for name in os.environ if any(word in name for word in words))
    return frozenset(name for name in named if not name.startswith("MLFLOW_TRACKING_"))


def toolchain() -> dict[str, str]:
    """Return the installed version of every tool that shapes a release."""
    return {tool: version(tool).split("+")[0] for tool in TOOLS}
