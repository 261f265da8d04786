"""The adapter of MLflow's tracking: where things are."""

import socket
from pathlib import Path
from urllib.parse import urlsplit

from slipway.errors import Unreachable
from slipway.values import Value

#: Names of the tags by which releases are found again.
KEY, WRAPPER = "slipway.key", "slipway.wrapper"


class Place(Value):
    """Where MLflow keeps things.

    Attributes:
        uri: Address of the tracking store and the registry.
        artifacts: Folder for artifacts, where no server keeps them.
    """

    uri: str
    artifacts: Path | None


def connect(place: Place) -> None:
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


def experiment_id(name: str, place: Place) -> str:
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
