"""A model registry in memory with logged models, whose files are on the disk.

The whole of ``slipway.registry`` runs on it, and what verifies a version's files.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS

from slipway.registry import Registry, registration
from slipway.system import store as stores
from slipway.system.store import Store
from slipway.tracking import model_storage, seal, verified_copy
from slipway.tracking.location import MlflowLocation
from slipway.tracking.model_files import FolderFiles
from slipway.values import Release
from tests.support.fake_registry import WRAPPER
from tests.support.memory_registry import MemoryClient, MemoryRegistry, fits, missing, page


class ModelClient(MemoryClient):
    """Logged models besides, as ``MlflowClient`` returns them.

    Args:
        folder: Takes their files.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.logged: dict[str, Any] = {}
        self._folder = folder
        self._numbers = count(1)
        self._last: dict[str, int] = {}

    def create_registered_model(self, name: str, description: str) -> None:
        """Create a registered model."""
        self.before_write()
        if name in self.models:
            raise MlflowException("it is there", RESOURCE_ALREADY_EXISTS)
        self.models[name] = SimpleNamespace(name=name, aliases={}, description=description)

    def create_model_version(
        self, name: str, source: str, *, run_id: str, tags: dict[str, str], model_id: str
    ) -> None:
        """Create a version; no number is used twice."""
        self.before_write()
        self._last[name] = self._last.get(name, 0) + 1
        version = str(self._last[name])
        self.versions[name, version] = SimpleNamespace(
            name=name,
            version=version,
            run_id=run_id,
            source=source,
            model_id=model_id,
            description="",
            tags=dict(tags),
            creation_timestamp=0,
        )

    def delete_tag(self, run_id: str, tag: str) -> None:
        """Remove a tag of a run."""
        self.before_write()
        if tag not in self.runs[run_id].data.tags:
            missing()
        del self.runs[run_id].data.tags[tag]

    def create_logged_model(
        self, experiment: str, name: str, source_run_id: str, tags: dict[str, str]
    ) -> Any:
        """Create a logged model without files."""
        self.before_write()
        model_id = f"m-{next(self._numbers):032x}"
        self.logged[model_id] = SimpleNamespace(
            model_id=model_id,
            experiment_id=experiment,
            name=name,
            source_run_id=source_run_id,
            tags=dict(tags),
            status="PENDING",
            artifact_location=str(self.place_of(model_id)),
            creation_timestamp=0,
        )
        return self.logged[model_id]

    def log_model_artifacts(self, model_id: str, folder: str) -> None:
        """Copy the files of a folder into a logged model."""
        self.before_write()
        shutil.copytree(folder, self.place_of(model_id))

    def finalize_logged_model(self, model_id: str, status: str) -> None:
        """Set the status of a logged model."""
        self.before_write()
        self.logged[model_id].status = status

    def set_logged_model_tags(self, model_id: str, tags: dict[str, str]) -> None:
        """Set tags of a logged model."""
        self.before_write()
        self.logged[model_id].tags |= tags

    def place_of(self, model_id: str) -> Path:
        """Return where the files of a logged model are."""
        return self._folder / model_id

    def get_logged_model(self, model_id: str) -> Any:
        """Return a logged model."""
        return self.logged.get(model_id) or missing()

    def search_logged_models(self, experiments: list[str], filters: str = "", **_: Any) -> Any:
        """Return the logged models that fit."""
        found = (each for each in self.logged.values() if each.experiment_id in experiments)
        return page(each for each in found if fits(filters, each.tags, {}))

    def delete_logged_model(self, model_id: str) -> None:
        """Delete a logged model; its files stay, as in MLflow."""
        self.before_write()
        self.get_logged_model(model_id)
        del self.logged[model_id]

    def search_registered_models(self) -> list[Any]:
        """Return every registered model."""
        return [*self.models.values()]

    def search_experiments(self) -> list[Any]:
        """Return every experiment that has a run."""
        return [
            SimpleNamespace(experiment_id=name)
            for name in {run.info.experiment_id for run in self.runs.values()}
        ]


class WholeRegistry(MemoryRegistry):
    """A registry in memory that looks at the files of its versions."""

    def __init__(self, client: ModelClient, folder: Path, name: str = "") -> None:
        super().__init__(client, folder / "locks", name)
        self.copies = self.copies.model_copy(
            update={"root": folder / "copies", "wrappers": WRAPPER.parent}
        )

    def _require_intact(self, release: Release) -> None:
        Registry._require_intact(self, release)


@contextmanager
def as_mlflow(*registries: WholeRegistry) -> Iterator[None]:
    """Let what asks MLflow at a location ask the registry of that location while the body runs."""
    clients = {each.location: each.client for each in registries}

    def open_files(name: str, version: int, location: MlflowLocation, store: Store) -> FolderFiles:
        client = clients[location]
        found = client.get_model_version(name, str(version))
        return FolderFiles(client.place_of(found.model_id), name)  # as MLflow: deleted ones too

    with pytest.MonkeyPatch.context() as patch:
        for module in (registration, verified_copy, model_storage):
            patch.setattr(module, "connect", clients.__getitem__)
        for module in (seal, verified_copy):
            patch.setattr(module, "client_of", clients.__getitem__)
        patch.setattr(verified_copy, "open_files", open_files)
        patch.setattr(stores, "flush", lambda _: None)
        yield
