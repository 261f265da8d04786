"""Where MLflow keeps things, and the connection to it."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from slipway.errors import (
    CatalogueInvalid,
    ExperimentDeleted,
    RegistryUnsupported,
    Unreachable,
    VersionRefused,
)
from slipway.settings import Settings
from slipway.tracking import registry_kind
from slipway.values import Value
from slipway.values.paths import stays_inside


class MlflowLocation(Value):
    """Where MLflow keeps things.

    Attributes:
        uri: Address of the tracking store, and of the registry if that is not in Unity Catalog.
        artifacts: Folder for artifacts; None where a server keeps them.
        catalog: Address of Unity Catalog, if the registry is there.
        schema_name: The schema of its models, as ``CATALOG.SCHEMA``.
    """

    uri: str
    artifacts: Path | None
    catalog: str = ""
    schema_name: str = ""


def mlflow_location(settings: Settings) -> MlflowLocation:
    """Return the MLflow that ``settings`` name.

    Raises:
        RegistryUnsupported: If a release cannot be recorded there.
    """
    registry, schema = settings.registry_uri, settings.registry_schema
    if fault := registry_kind.obstacle(settings.registry, registry, schema):
        raise RegistryUnsupported(*fault)
    artifacts = None if settings.registry.startswith("http") else settings.artifacts_folder
    location = MlflowLocation(uri=settings.registry, artifacts=artifacts)
    if registry_kind.kind_of(registry) == "MLflow":
        return location
    return location.model_copy(update={"catalog": registry, "schema_name": schema})


def connect(location: MlflowLocation) -> Any:
    """Return MlflowClient of ``location``, making its database on first use.

    MLflow's module functions (``mlflow.start_run``) go there too, until the next call.

    Raises:
        Unreachable: If no server listens there.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # one for each file
    import mlflow

    if location.artifacts:
        location.artifacts.mkdir(parents=True, exist_ok=True)
    else:
        require_listener(location.uri)
    _read_served_artifacts(location.artifacts)
    mlflow.set_tracking_uri(location.uri)
    mlflow.set_registry_uri(location.catalog or location.uri)
    return client_of(location)


def client_of(location: MlflowLocation) -> Any:
    """Return MlflowClient of ``location``, which ``connect`` has reached before."""
    from mlflow import MlflowClient

    client = MlflowClient(location.uri, location.catalog or location.uri)
    if not location.catalog:
        return client
    from slipway.tracking.unity_catalog import UnityCatalogClient  # which reads this module

    return UnityCatalogClient(client, location.schema_name)


def _read_served_artifacts(folder: Path | None) -> None:
    """Say from where MLflow's client reads what a server wrote, whose addresses have no host.

    Args:
        folder: Where the server of this home keeps artifacts; None to ask the server.
    """
    from mlflow.store.artifact.artifact_repository_registry import (
        get_registered_artifact_repositories,
    )
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
    from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

    def in_folder(uri: str, **options: Any) -> LocalArtifactRepository:
        path = unquote(urlsplit(uri).path).lstrip("/")
        if folder is None or not stays_inside(path):
            raise VersionRefused(uri, "it is no address below MLflow's folder", "release it again")
        return LocalArtifactRepository(str(folder / path), **options)

    repositories: dict[str, Any] = get_registered_artifact_repositories()
    repositories["mlflow-artifacts"] = in_folder if folder else MlflowArtifactsRepository


@contextmanager
def signed_in_by(file: Path) -> Iterator[None]:
    """Let an error name ``file``, which holds user and password, if MLflow refuses them.

    Raises:
        CatalogueInvalid: If it does.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "UNAUTHENTICATED":
            raise
        fault = "sign-in: the server refuses it (write user:password into this file)"
        raise CatalogueInvalid(str(file), (fault,)) from error


def experiment_id(client: Any, name: str, location: MlflowLocation) -> str:
    """Return the id of the experiment ``name`` at ``client``'s ``location``, made on first use.

    Without a location of its own, an experiment in a database would write to ``./mlruns``.

    Raises:
        ExperimentDeleted: If a person deleted it.
    """
    from mlflow.exceptions import MlflowException

    if found := client.get_experiment_by_name(name):
        require_active(found)
        return str(found.experiment_id)
    folder = str(location.artifacts / name.replace("/", "-")) if location.artifacts else None
    try:
        return str(client.create_experiment(name, artifact_location=folder))
    except MlflowException as error:
        found = client.get_experiment_by_name(name)  # another process has just made it
        if error.error_code != "RESOURCE_ALREADY_EXISTS" or found is None:
            raise
        return str(found.experiment_id)


def if_any(read: Callable[[], Any]) -> Any:
    """Return what ``read`` finds in MLflow; None if there is no such thing."""
    from mlflow.exceptions import MlflowException

    try:
        return read()
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def if_any_of(client: Any, model: str, read: Callable[[], Any]) -> Any:
    """Return what ``read`` finds of a registered model; None if that, or the model, is not there.

    MLflow's roles refuse what belongs to a model that does not exist, but not the model itself.
    """
    from mlflow.exceptions import MlflowException

    try:
        return if_any(read)
    except MlflowException as error:
        if error.error_code != "PERMISSION_DENIED":
            raise
        if if_any(lambda: client.get_registered_model(model)):
            raise
        return None


def every(search: Callable[[str | None], Any]) -> Iterator[Any]:
    """Yield everything that a search of MLflow finds.

    Args:
        search: Returns one page of it, given the token of that page.
    """
    page = search(None)
    yield from page
    while page.token:
        page = search(page.token)
        yield from page


def require_active(experiment: Any) -> None:
    """Refuse an experiment that a person deleted.

    Raises:
        ExperimentDeleted: If it is deleted.
    """
    if experiment.lifecycle_stage == "deleted":
        raise ExperimentDeleted(experiment.name, str(experiment.experiment_id))


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


def may_pass(error: BaseException) -> bool:
    """Return whether a request that failed may succeed later: a server, or the way to it, failed.

    MLflow's client has repeated it by then. Its own error has the one of the connection as context
    (``mlflow.utils.rest_utils.http_request``).
    """
    from mlflow.exceptions import MlflowException, RestException
    from requests import RequestException

    if isinstance(error, RestException):
        return _is_temporary(int(error.get_http_status_code()))
    if isinstance(error, MlflowException) and error.error_code == "TEMPORARILY_UNAVAILABLE":
        return True  # its database
    failed = error if isinstance(error, RequestException) else error.__context__
    if not isinstance(failed, RequestException):
        return False
    return failed.response is None or _is_temporary(failed.response.status_code)


def _is_temporary(status: int) -> bool:
    return status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
