"""What MLflow keeps of logged models, whether a version reads them or not.

``mlflow gc`` deletes what was marked as deleted, without asking whether a version reads it, and
only from the machine with the database. Here, files are deleted through MLflow's client.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from slipway.tracking.location import MlflowLocation, connect, every
from slipway.tracking.tags import KEY
from slipway.values import LoggedFiles


def logged_files(
    model: str, location: MlflowLocation, readers: Mapping[str, tuple[str, ...]]
) -> tuple[LoggedFiles, ...]:
    """Return what the releases of a model logged; what a person logged beside them is left out.

    Args:
        model: Name of the entry, and of its experiment.
        location: The MLflow.
        readers: Addresses of the versions that read each logged model, by its id.
    """
    client = connect(location)
    experiment = client.get_experiment_by_name(model)
    if experiment is None:
        return ()
    runs = _runs_of_releases(client, experiment.experiment_id)
    return tuple(
        LoggedFiles(
            name=each.model_id,
            size_bytes=sum(_sizes(_repository(each), None)),
            used_at=datetime.fromtimestamp(each.creation_timestamp / 1000, UTC),
            running=runs[each.source_run_id] == "RUNNING",
            read_by=readers.get(each.model_id, ()),
        )
        for each in _logged(client, experiment.experiment_id)
        if each.source_run_id in runs
    )


def delete(model_id: str, location: MlflowLocation) -> None:
    """Delete a logged model: its files first, so that none of them is ever without an owner."""
    client = connect(location)
    _repository(client.get_logged_model(model_id)).delete_artifacts()
    client.delete_logged_model(model_id)


def _logged(client: Any, experiment_id: str) -> Iterator[Any]:
    yield from every(lambda token: client.search_logged_models([experiment_id], page_token=token))


def _runs_of_releases(client: Any, experiment_id: str) -> dict[str, str]:
    """Return the status of every run that a release made, also of those that a person deleted."""
    from mlflow.entities import ViewType

    runs = every(
        lambda token: client.search_runs(
            [experiment_id],
            f"tags.`{KEY}` != ''",
            run_view_type=ViewType.ALL,
            page_token=token,
        )
    )
    return {str(run.info.run_id): str(run.info.status) for run in runs}


def _repository(logged: Any) -> Any:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(logged.artifact_location)


def _sizes(repository: Any, folder: str | None) -> Iterator[int]:
    """Yield the size in bytes of every file below a folder."""
    for found in repository.list_artifacts(folder):
        if found.is_dir:
            yield from _sizes(repository, found.path)
        else:
            yield int(found.file_size or 0)
