"""The adapter of MLflow's tracking: where things are."""

import socket
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ValidationError

from slipway.errors import Unreachable
from slipway.settings import Settings
from slipway.values import Value, Watched

#: Names of the tags by which releases are found again.
KEY, WRAPPER = "slipway.key", "slipway.wrapper"

#: Tag of a model's experiment that remembers what the last look at its source saw.
WATCHED = "slipway.watched"

_LONGEST_TAG = 5000  # characters; what every database behind MLflow takes

#: Names of the tags that say what a version's bytes are: the artifact's digest, as
#: ``keys.manifest_digest`` counts it, and the SHA-256 of the wrapper's code and of ``MLmodel``.
DIGEST, CODE, DESCRIPTION = "slipway.digest", "slipway.code_sha256", "slipway.mlmodel_sha256"


class Place(Value):
    """Where MLflow keeps things.

    Attributes:
        uri: Address of the tracking store and the registry.
        artifacts: Folder for artifacts, where no server keeps them.
    """

    uri: str
    artifacts: Path | None


def place_of(settings: Settings) -> Place:
    """Return where ``settings`` say that MLflow keeps things."""
    artifacts = None if settings.registry.startswith("http") else settings.mlflow / "artifacts"
    return Place(uri=settings.registry, artifacts=artifacts)


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


def watched(model: str, place: Place) -> Watched | None:
    """Return what the last look at the model's source saw; None if there was none."""
    import mlflow

    connect(place)
    found = mlflow.get_experiment_by_name(model)
    text = found.tags.get(WATCHED) if found else None
    try:
        return Watched.model_validate_json(text) if text else None
    except ValidationError:  # of another release of this program, or a person's
        return None


def remember(model: str, seen: Watched, place: Place) -> None:
    """Remember ``seen`` for the next look; what is too long is looked at anew each time."""
    import mlflow

    connect(place)
    text = seen.model_dump_json()
    if len(text) <= _LONGEST_TAG:
        mlflow.MlflowClient().set_experiment_tag(experiment_id(model, place), WATCHED, text)


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
