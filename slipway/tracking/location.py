"""The adapter of MLflow's tracking: where things are."""

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
        artifacts: Folder for artifacts, where no server keeps them.
    """

    uri: str
    artifacts: Path | None


def mlflow_location(settings: Settings) -> MlflowLocation:
    """Return where ``settings`` say that MLflow keeps things."""
    artifacts = None if settings.registry.startswith("http") else settings.mlflow / "artifacts"
    return MlflowLocation(uri=settings.registry, artifacts=artifacts)


def connect(place: MlflowLocation) -> None:
    """Point MLflow's client at ``place``, making its database on first use.

    Raises:
        Unreachable: If no server listens there.
    """
    import mlflow

    if place.artifacts:
        place.artifacts.mkdir(parents=True, exist_ok=True)
    else:
        require_listener(place.uri)
    mlflow.set_tracking_uri(place.uri)
    mlflow.set_registry_uri(place.uri)


def experiment_id(name: str, place: MlflowLocation) -> str:
    """Return the id of the experiment ``name``, made on first use.

    Without a location of its own, an experiment in a database would write to ``./mlruns``.
    """
    import mlflow

    if found := mlflow.get_experiment_by_name(name):
        return str(found.experiment_id)
    location = str(place.artifacts / name.replace("/", "-")) if place.artifacts else None
    return str(mlflow.create_experiment(name, artifact_location=location))


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
