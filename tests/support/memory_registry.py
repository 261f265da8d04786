"""The part of MLflow's client that the registry uses, in memory: hundreds of changes a second.

For questions about orders of many changes. What one change does is tested against a real MLflow.
"""

import copy
import re
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from slipway.registry import Registry
from slipway.tracking.location import MlflowLocation
from slipway.tracking.verified_copy import CopyPlace
from slipway.values import RegisteredVersions, Release

_CONDITION = re.compile(r"(name|run_id|attributes\.status|tags\.`[^`]+`) (=|!=) '([^']*)'")


class MemoryClient:
    """Registered models, versions and runs, as ``MlflowClient`` returns them.

    Attributes:
        before_write: Called with nothing before each change; a test may let others act there.
    """

    def __init__(self) -> None:
        self.before_write: Callable[[], None] = lambda: None
        self.models: dict[str, Any] = {}
        self.versions: dict[tuple[str, str], Any] = {}
        self.runs: dict[str, Any] = {}
        self._ids = count(1)

    def save(self) -> Any:
        """Return a copy of all that is there."""
        return copy.deepcopy((self.models, self.versions, self.runs))

    def load(self, saved: Any) -> None:
        """Bring back what ``save`` returned."""
        self.models, self.versions, self.runs = copy.deepcopy(saved)

    def register(self, name: str, key: str, run_id: str) -> int:
        """Create a version, as a release does."""
        model = self.models.setdefault(name, SimpleNamespace(name=name, aliases={}))
        version = str(sum(each == model.name for each, _ in self.versions) + 1)
        self.versions[name, version] = SimpleNamespace(
            name=name, version=version, run_id=run_id, description="", tags={"slipway.key": key}
        )
        return int(version)

    def create_run(
        self, experiment: str, run_name: str, tags: dict[str, str], start_time: int = 0
    ) -> Any:
        """Start a run."""
        self.before_write()
        info = SimpleNamespace(
            run_id=f"run-{next(self._ids)}",
            run_name=run_name,
            experiment_id=experiment,
            start_time=start_time,
            status="RUNNING",
            lifecycle_stage="active",
        )
        self.runs[info.run_id] = SimpleNamespace(
            info=info, data=SimpleNamespace(tags={"mlflow.runName": run_name, **tags}, metrics={})
        )
        return self.runs[info.run_id]

    def get_run(self, run_id: str) -> Any:
        """Return a run."""
        return self.runs[run_id]

    def get_experiment_by_name(self, name: str) -> Any:
        """Return an experiment; each one exists."""
        return SimpleNamespace(experiment_id=name, lifecycle_stage="active")

    def search_runs(
        self,
        experiments: list[str],
        filters: str = "",
        order_by: list[str] | None = None,
        **_: Any,
    ) -> Any:
        """Return the runs that fit in one page; in an order oldest first, else newest first."""
        runs = [*self.runs.values()]
        return page(
            run
            for run in (runs if order_by else reversed(runs))
            if run.info.experiment_id in experiments
            and fits(filters, run.data.tags, {"attributes.status": run.info.status})
        )

    def set_tag(self, run_id: str, tag: str, value: str) -> None:
        """Set a tag of a run."""
        self.before_write()
        self.runs[run_id].data.tags[tag] = value

    def log_batch(self, run_id: str, tags: Any) -> None:
        """Set tags of a run."""
        self.before_write()
        self.runs[run_id].data.tags |= {each.key: each.value for each in tags}

    def set_terminated(self, run_id: str, status: str) -> None:
        """End a run."""
        self.before_write()
        self.runs[run_id].info.status = status

    def get_registered_model(self, name: str) -> Any:
        """Return a registered model."""
        return self.models.get(name) or missing()

    def get_model_version_by_alias(self, name: str, alias: str) -> Any:
        """Return the version that an alias names."""
        return self.get_model_version(name, self.get_registered_model(name).aliases.get(alias))

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        """Set an alias."""
        self.before_write()
        self.get_model_version(name, version)
        self.models[name].aliases[alias] = version

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """Remove an alias."""
        self.before_write()
        self.models[name].aliases.pop(alias, None)

    def get_model_version(self, name: str, version: str) -> Any:
        """Return a version."""
        found = copy.deepcopy(self.versions.get((name, version))) or missing()
        aliases = self.models[name].aliases.items()
        found.aliases = [alias for alias, named in aliases if named == version]
        return found

    def search_model_versions(self, filters: str, **_: Any) -> Any:
        """Return the versions that fit."""
        return page(
            each
            for each in self.versions.values()
            if fits(filters, each.tags, {"name": each.name, "run_id": each.run_id})
        )

    def set_model_version_tag(self, name: str, version: str, tag: str, value: str) -> None:
        """Set a tag of a version."""
        self.before_write()
        self.get_model_version(name, version)
        self.versions[name, version].tags[tag] = value

    def delete_model_version_tag(self, name: str, version: str, tag: str) -> None:
        """Remove a tag of a version."""
        self.before_write()
        del self.versions[name, version].tags[tag]

    def update_model_version(self, name: str, version: str, description: str) -> None:
        """Set the description of a version."""
        self.before_write()
        self.versions[name, version].description = description

    def delete_model_version(self, name: str, version: str) -> None:
        """Remove a version, and the aliases that name it."""
        self.before_write()
        self.get_model_version(name, version)
        del self.versions[name, version]
        aliases = self.models[name].aliases
        self.models[name].aliases = {a: v for a, v in aliases.items() if v != version}


class MemoryRegistry(Registry):
    """A registry of one machine, in memory; files of versions are taken for intact.

    Args:
        client: What it holds.
        locks: Folder for the locks of this machine.
        name: Tells it from another registry of this process.
    """

    def __init__(self, client: MemoryClient, locks: Path, name: str = "") -> None:
        self.client: Any = client
        self.locks = locks
        self.location = MlflowLocation(uri=f"sqlite://{name}", artifacts=None)
        self.copies = CopyPlace(location=self.location, root=locks, store=locks, wrappers=locks)
        self._shared = {}

    def _require_intact(self, release: Release) -> None:
        pass

    def _experiment(self, name: str) -> str:
        return name


def registered(client: MemoryClient, key: str, model: str = "tiny") -> RegisteredVersions:
    """Return both wrappers of a made up release, registered."""
    run_id = client.create_run(model, key, tags={"slipway.key": key}).info.run_id
    wrappers = {
        kind: {
            "kind": kind,
            "contract": "chat",
            "model_id": f"m-{key}",
            "name": name,
            "version": client.register(name, key, run_id),
            "size_bytes": 1,
        }
        for kind, name in (("onnx", model), ("transformers", f"{model}-transformers"))
    }
    fields = {"model": model, "key": key, "run_id": run_id, **wrappers}
    return RegisteredVersions.model_validate(fields)


class _Page(list[Any]):
    token: str | None


def page(found: Iterable[Any]) -> Any:
    """Return copies of what was found, as the last page of a search."""
    made = _Page(copy.deepcopy(each) for each in found)
    made.token = None
    return made


def missing() -> Any:
    """Refuse what is not there."""
    raise MlflowException("there is no such thing", RESOURCE_DOES_NOT_EXIST)


def fits(filters: str, tags: dict[str, str], fields: dict[str, str]) -> bool:
    """Return whether tags and fields are as a filter says."""
    for field, relation, value in _CONDITION.findall(filters):
        tag = field.removeprefix("tags.`").removesuffix("`")
        found = fields.get(field) if field in fields else tags.get(tag)
        if found is None or (found == value) != (relation == "="):
            return False
    return True
