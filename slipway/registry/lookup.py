"""What the registry knows: versions by key, aliases, tags."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from slipway.registry.names import is_open, to_lift
from slipway.tracking.location import MlflowLocation, connect
from slipway.tracking.metrics import figures_of
from slipway.tracking.tags import KEY, QUARANTINED, RELEASE, STATUS
from slipway.values import Champion, EarlierRejection, LoggedWrapper, Rejected, Release


class Lookup:
    """Reads the model registry at one place.

    Args:
        place: Address of tracking store and registry.
        locks: Folder for the locks that make its changes one at a time.
    """

    def __init__(self, place: MlflowLocation, locks: Path) -> None:
        connect(place)
        from mlflow import MlflowClient

        self.place = place
        self.locks = locks
        self.client = MlflowClient()

    def released(self, model: str, key: str) -> Release | None:
        """Return the release with this key if an earlier run finished it.

        Where its version is quarantined since, the verdict says so, and how to lift it.
        """
        for version in self._versions(model, key):
            if version.tags.get(STATUS) == "released":
                release = Release.model_validate_json(version.tags[RELEASE])
                changes: dict[str, Any] = {"existed": True, "waiting": is_open(version.tags)}
                if reason := version.tags.get(QUARANTINED):
                    changes["verdict"] = Rejected(
                        reasons=(f"quarantined: {reason}", to_lift(model))
                    )
                return release.model_copy(update=changes)
        return None

    def refused(self, model: str, key: str) -> EarlierRejection | None:
        """Return why an earlier candidate with this key was refused, by a gate or by a person.

        What was rejected stays so until its key changes: a new run of the same would end the same.
        """
        existing = self.released(model, key)
        if existing:
            if not isinstance(existing.verdict, Rejected):
                return None
            run_id, reasons = existing.versions.run_id, existing.verdict.reasons
            return EarlierRejection(run_id=run_id, kind="keep", reasons=reasons)
        experiment = self.client.get_experiment_by_name(model)
        filters = f"tags.`{KEY}` = '{key}' AND tags.`slipway.verdict` != 'promote'"
        runs = self.client.search_runs([experiment.experiment_id], filters) if experiment else ()
        for run in runs:
            tags = run.data.tags
            reasons = tuple(tags.get("slipway.reasons", "no reason was noted").split("; "))
            return EarlierRejection(
                run_id=run.info.run_id, kind=tags["slipway.verdict"], reasons=reasons
            )
        return None

    def champion(self, name: str) -> int | None:
        """Return the version that serves under the registered model ``name``."""
        return self.aliases(name).get("champion")

    def load_champion(self, name: str) -> Any:
        """Return the champion of ``name``, loaded as MLflow's Python model."""
        import mlflow

        return mlflow.pyfunc.load_model(f"models:/{name}@champion")

    def measured_champion(self, name: str) -> Champion | None:
        """Return the version that serves under ``name``, with what was measured of it."""
        version = self.champion(name)
        if version is None:
            return None
        run_id = str(self.client.get_model_version(name, str(version)).run_id)
        metrics = self.client.get_run(run_id).data.metrics
        return Champion(version=version, run_id=run_id, figures=figures_of(metrics))

    def serving(self, candidate: LoggedWrapper) -> LoggedWrapper | None:
        """Return the version that serves where ``candidate`` would; None if there is no other.

        It may speak another contract, as its release recorded it. Where that record is missing, as
        for a version that somebody promoted by hand, it is taken to speak the candidate's.
        """
        version = self.champion(candidate.name)
        if version is None or version == candidate.version:
            return None
        if details := self.tags(candidate.name, version).get(RELEASE):
            return LoggedWrapper.model_validate(json.loads(details)["candidate"]["onnx"])
        unknown = {"version": version, "model_id": "", "size_bytes": 0}
        return candidate.model_copy(update=unknown)

    def aliases(self, name: str) -> dict[str, int]:
        """Return every alias of the registered model ``name``; none if there is no such model."""
        from mlflow.exceptions import MlflowException

        try:
            model = self.client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return {}
        return {alias: int(version) for alias, version in model.aliases.items()}

    def tags(self, name: str, version: int) -> dict[str, str]:
        """Return the tags of one version."""
        return dict(self.client.get_model_version(name, str(version)).tags)

    def description(self, name: str, version: int) -> str:
        """Return the Markdown of a version's page."""
        return self.client.get_model_version(name, str(version)).description or ""

    def _versions(self, name: str, key: str) -> list[Any]:
        found = self.client.search_model_versions(f"name = '{name}' AND tags.`{KEY}` = '{key}'")
        return sorted(found, key=lambda version: int(version.version))

    def _tags_if_any(self, name: str, version: int) -> dict[str, str] | None:
        from mlflow.exceptions import MlflowException

        try:
            return self.tags(name, version)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    @contextmanager
    def _alone(self, model: str) -> Iterator[None]:
        self.locks.mkdir(parents=True, exist_ok=True)
        with FileLock(self.locks / f"registry-{model}.lock"):
            yield
