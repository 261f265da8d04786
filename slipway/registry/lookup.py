"""What the registry knows: versions by key, aliases, tags."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from slipway import keys
from slipway.checks import suites
from slipway.errors import MoveRefused
from slipway.evaluation.texts import load_texts, texts_digest
from slipway.keys import manifest_digest
from slipway.settings import Settings, toolchain
from slipway.system.store import manifest, sha256
from slipway.tracking import format_1
from slipway.tracking.location import MlflowLocation, connect
from slipway.tracking.metrics import figures_of
from slipway.tracking.tag_values import Outcome, VersionTags
from slipway.tracking.tags import DIGEST, KEY, VERDICT
from slipway.values import (
    Champion,
    Contract,
    EarlierRejection,
    Entry,
    LoggedWrapper,
    Rejected,
    Release,
    Revision,
    WrapperKind,
)


def registered_name(model: str, kind: WrapperKind) -> str:
    """Return the name of the registered model that holds one wrapper of the entry ``model``."""
    return model if kind == "onnx" else f"{model}-{kind}"


def how_to_lift(model: str) -> str:
    """Return how a person lifts a quarantine."""
    return f"lift it with slipway release {model} --lift-quarantine"


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


def _if_any(read: Callable[[], Any]) -> Any:
    """Return what ``read`` finds in MLflow; None if there is no such thing."""
    from mlflow.exceptions import MlflowException

    try:
        return read()
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


class Lookup:
    """Reads the model registry at one place.

    Args:
        location: Address of tracking store and registry.
        locks: Folder for the locks that make its changes one at a time.
    """

    def __init__(self, location: MlflowLocation, locks: Path) -> None:
        connect(location)
        from mlflow import MlflowClient

        self.location = location
        self.locks = locks
        self.client = MlflowClient()

    def released(self, model: str, key: str) -> Release | None:
        """Return the release with this key if an earlier run finished it.

        Where its version is quarantined, the verdict says so, and how to lift the quarantine.
        """
        for version in self._versions(model, key):
            state = VersionTags.from_tags(version.tags)
            if state.released and state.release:
                changes: dict[str, Any] = {"existed": True, "waiting": state.waiting}
                if state.quarantined:
                    reasons = (f"quarantined: {state.quarantined}", how_to_lift(model))
                    changes["verdict"] = Rejected(reasons=reasons)
                return state.release.model_copy(update=changes)
        return None

    def earlier_rejection(self, model: str, key: str) -> EarlierRejection | None:
        """Return why an earlier candidate with this key was rejected, by a gate or by a person.

        A rejection holds until the key changes: the same release would end the same.
        """
        if existing := self.released(model, key):
            if not isinstance(existing.verdict, Rejected):
                return None
            run_id, reasons = existing.versions.run_id, existing.verdict.reasons
            return EarlierRejection(run_id=run_id, kind="rejected", reasons=reasons)
        experiment = self.client.get_experiment_by_name(model)
        filters = f"tags.`{KEY}` = '{key}' AND tags.`{VERDICT}` != ''"
        runs = self.client.search_runs([experiment.experiment_id], filters) if experiment else ()
        for run in runs:
            found = Outcome.from_tags(run.data.tags)
            if found.verdict != "promoted":
                reasons = tuple((found.reasons or "no reason was recorded").split("; "))
                fields = {"run_id": run.info.run_id, "kind": found.verdict, "reasons": reasons}
                return EarlierRejection.model_validate(fields)
        return None

    def champion(self, name: str) -> int | None:
        """Return the version that ``champion`` names in the registered model ``name``."""
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
        wrapper = LoggedWrapper(
            kind="onnx", contract=contract, model_id="", name=name, version=version, size_bytes=0
        )
        if release := VersionTags.from_tags(found.tags).release:
            wrapper = release.versions.onnx
        run_id = str(found.run_id) if found.run_id else None
        metrics = self.client.get_run(run_id).data.metrics if run_id else {}
        return Champion(wrapper=wrapper, run_id=run_id, figures=figures_of(metrics))

    def aliases(self, name: str) -> dict[str, int]:
        """Return every alias of the registered model ``name``; none if there is no such model."""
        model = _if_any(lambda: self.client.get_registered_model(name))
        return {alias: int(version) for alias, version in model.aliases.items()} if model else {}

    def tags(self, name: str, version: int) -> dict[str, str]:
        """Return the tags of one version, as today's format has them."""
        return format_1.upgrade(self.client.get_model_version(name, str(version)).tags)

    def state(self, name: str, version: int) -> VersionTags | None:
        """Return what the tags of one version say; None if there is no such version."""
        found = _if_any(lambda: self.client.get_model_version(name, str(version)))
        return VersionTags.from_tags(found.tags) if found else None

    def description(self, name: str, version: int) -> str:
        """Return the Markdown of a version's page."""
        return self.client.get_model_version(name, str(version)).description or ""

    def _require_intact(self, release: Release) -> None:
        """Compare the files that MLflow keeps of a version with the digest in its tags.

        Raises:
            MoveRefused: If a byte differs, or if there is nothing to compare.
        """
        wrapper = release.versions.onnx
        expected = self.tags(wrapper.name, wrapper.version).get(DIGEST)
        if expected is None:
            reason = f"version {wrapper.version} has no {DIGEST} to compare its files with"
            raise MoveRefused(wrapper.name, reason, "name another version, or release it again")
        if self._artifact_digest(wrapper.model_id) != expected:
            reason = f"files of version {wrapper.version} are missing or changed"
            advice = f"restore those of MLflow's model {wrapper.model_id}, or name another version"
            raise MoveRefused(wrapper.name, reason, advice)

    def _artifact_digest(self, model_id: str) -> str | None:
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        with tempfile.TemporaryDirectory() as folder:
            # without a destination, a folder on this machine is read where it lies
            into = None if self.location.artifacts else folder
            try:
                address = self.client.get_logged_model(model_id).artifact_location
                files = download_artifacts(f"{address}/artifacts/model", dst_path=into)
            except (MlflowException, OSError):
                return None
            return manifest_digest(manifest(Path(files)))

    def _versions(self, name: str, key: str) -> list[Any]:
        found = self.client.search_model_versions(f"name = '{name}' AND tags.`{KEY}` = '{key}'")
        return sorted(found, key=lambda version: int(version.version))

    @contextmanager
    def _locked(self, model: str) -> Iterator[None]:
        self.locks.mkdir(parents=True, exist_ok=True)
        with FileLock(self.locks / f"registry-{model}.lock"):
            yield
