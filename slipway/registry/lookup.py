"""What the registry knows: versions by key, aliases, tags."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from slipway import keys
from slipway.checks import suites
from slipway.evaluation import load_texts, texts_digest
from slipway.registry.names import is_open, to_lift
from slipway.settings import Settings, toolchain
from slipway.system.store import sha256
from slipway.tracking import format_1
from slipway.tracking.location import MlflowLocation, connect
from slipway.tracking.metrics import figures_of
from slipway.tracking.tags import KEY, QUARANTINED, REASONS, RELEASE, STATUS, VERDICT
from slipway.values import (
    Champion,
    Contract,
    EarlierRejection,
    Entry,
    LoggedWrapper,
    Rejected,
    Release,
    Revision,
)


def release_key(entry: Entry, revision: Revision, settings: Settings) -> str:
    """Return the key of a release: what is made, of what, with what, and how it is tested."""
    expectations, contracts = settings.expectations, entry.wrappers
    shipped = {
        "wrapper": sha256(settings.wrappers / "onnx_genai.py"),
        "prompts": sha256(expectations / "prompts" / f"{entry.suite}.json"),
        "texts": texts_digest(load_texts(expectations / "texts" / entry.texts)),
        "onnx": suites.suite_digest(expectations, contracts.onnx),
        "transformers": suites.suite_digest(expectations, contracts.transformers),
    }
    return keys.release_key(entry, revision, toolchain(), shipped)


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
                release = Release.model_validate_json(format_1.upgrade(version.tags)[RELEASE])
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
            return EarlierRejection(run_id=run_id, kind="rejected", reasons=reasons)
        experiment = self.client.get_experiment_by_name(model)
        filters = f"tags.`{KEY}` = '{key}' AND tags.`{VERDICT}` != 'promoted'"
        runs = self.client.search_runs([experiment.experiment_id], filters) if experiment else ()
        for run in runs:
            tags = format_1.upgrade(run.data.tags)
            if tags[VERDICT] != "promoted":
                reasons = tuple(tags.get(REASONS, "no reason was recorded").split("; "))
                run_id = run.info.run_id
                return EarlierRejection(run_id=run_id, kind=tags[VERDICT], reasons=reasons)
        return None

    def champion(self, name: str) -> int | None:
        """Return the version that serves under the registered model ``name``."""
        return self.aliases(name).get("champion")

    def load_champion(self, name: str) -> Any:
        """Return the champion of ``name``, loaded as MLflow's Python model."""
        import mlflow

        return mlflow.pyfunc.load_model(f"models:/{name}@champion")

    def measured_champion(self, name: str, contract: Contract) -> Champion | None:
        """Return the champion of ``name``, with its wrapper and what was measured of it.

        Args:
            name: The registered model that serves.
            contract: Assumed of a version without a recorded release, as of one that somebody
                promoted by hand.
        """
        version = self.champion(name)
        if version is None:
            return None
        found = self.client.get_model_version(name, str(version))
        tags = format_1.upgrade(found.tags)
        wrapper = LoggedWrapper(
            kind="onnx", contract=contract, model_id="", name=name, version=version, size_bytes=0
        )
        if RELEASE in tags:
            wrapper = Release.model_validate_json(tags[RELEASE]).versions.onnx
        metrics = self.client.get_run(str(found.run_id)).data.metrics
        return Champion(wrapper=wrapper, run_id=str(found.run_id), figures=figures_of(metrics))

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
        return format_1.upgrade(self.client.get_model_version(name, str(version)).tags)

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
