"""Whether the files that MLflow keeps of a version are those that were released."""

import tempfile
from pathlib import Path

from slipway.errors import MoveRefused
from slipway.keys import manifest_digest
from slipway.registry.lookup import Lookup
from slipway.system.store import manifest
from slipway.tracking.tags import DIGEST
from slipway.values import Release


def require_intact(registry: Lookup, release: Release) -> None:
    """Compare the artifact of the version that would serve with the digest that it was tagged with.

    Raises:
        MoveRefused: If a byte differs, or if there is nothing to compare.
    """
    wrapper = release.versions.onnx
    expected = registry.tags(wrapper.name, wrapper.version).get(DIGEST)
    if expected is None:
        reason = f"version {wrapper.version} has no {DIGEST} to compare its files with"
        raise MoveRefused(wrapper.name, reason, "name another version, or release it again")
    if _digest(registry, wrapper.model_id) != expected:
        reason = f"files of version {wrapper.version} are missing or changed"
        advice = f"restore those of MLflow's model {wrapper.model_id}, or name another version"
        raise MoveRefused(wrapper.name, reason, advice)


def _digest(registry: Lookup, model_id: str) -> str | None:
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    local = registry.place.artifacts is not None
    with tempfile.TemporaryDirectory() as room:
        try:  # without a destination, a folder on this machine is read where it lies
            place = registry.client.get_logged_model(model_id).artifact_location
            folder = download_artifacts(
                f"{place}/artifacts/model", dst_path=None if local else room
            )
        except (MlflowException, OSError):
            return None
        return manifest_digest(manifest(Path(folder)))
