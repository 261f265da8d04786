"""Where MLflow keeps things, and the connection to it."""

import socket
from pathlib import Path
from urllib.parse import urlsplit

from slipway.errors import Unreachable
from slipway.settings import Settings
from slipway.values import Value


class MlflowLocation(Value):
    """Where MLflow keeps things.

    Attributes:
        uri: Address of the tracking store and the registry.
        artifacts: Folder for artifacts; None where a server keeps them.
    """

    uri: str
    artifacts: Path | None


def mlflow_location(settings: Settings) -> MlflowLocation:
    """Return the MLflow that ``settings`` name."""
    artifacts = None if settings.registry.startswith("http") else settings.mlflow / "artifacts"
    return MlflowLocation(uri=settings.registry, artifacts=artifacts)


def connect(location: MlflowLocation) -> None:
    """Point MLflow's client at ``location``, making its database on first use.

    Raises:
        Unreachable: If no server listens there.
    """
    import mlflow

    if location.artifacts:
        location.artifacts.mkdir(parents=True, exist_ok=True)
    else:
        require_listener(location.uri)
    mlflow.set_tracking_uri(location.uri)
    mlflow.set_registry_uri(location.uri)


def experiment_id(name: str, location: MlflowLocation) -> str:
    """Return the id of the experiment ``name``, made on first use.

    Without a location of its own, an experiment in a database would write to ``./mlruns``.
    """
    import mlflow

    if found := mlflow.get_experiment_by_name(name):
        return str(found.experiment_id)
    folder = str(location.artifacts / name.replace("/", "-")) if location.artifacts else None
    return str(mlflow.create_experiment(name, artifact_location=folder))


def require_listener(uri: str) -> None:
    """Ask once whether a server listens, since MLflow's own client would try for minutes.

    Raises:
        Unreachable: If none does.
    """
    address = urlsplit(uri)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        socket.create_connection((address.hostname or "", port), timeout=5).close()
    except OSError as error:
        raise Unreachable("MLflow", uri, str(error)) from error
