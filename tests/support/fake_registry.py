"""A model registry with versions that were never built, for decisions about versions.

Registering a version directly takes a tenth of a second; the line takes half a minute.
"""

from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from slipway.keys import manifest_digest
from slipway.registry import Registry
from slipway.system.store import manifest
from slipway.tracking.location import experiment_id
from slipway.tracking.log_models import Logged
from slipway.tracking.tags import KEY
from slipway.values import (
    AuditInfo,
    Entry,
    HubSource,
    Promoted,
    PromotionTarget,
    Quantization,
    QuantizeRecipe,
    RegisteredVersions,
    Release,
)

ANN = AuditInfo(actor="ann@harbour", reason="all checks hold")
_NAMES = count()


def fresh_name() -> str:
    """Return the name of a model that no other test has used."""
    return f"tiny-{next(_NAMES)}"


@dataclass(frozen=True)
class FakeRegistry:
    """One model in a registry, whose releases are made up.

    Attributes:
        registry: Where it stands.
        folder: Room for the files that are logged.
        model: Its name.
    """

    registry: Registry
    folder: Path
    model: str = "tiny"

    @property
    def entry(self) -> Entry:
        """The catalogue's entry."""
        return Entry(
            name=self.model,
            title="Tiny",
            source=HubSource(repo="acme/tiny"),
            recipe=QuantizeRecipe(candidates=(Quantization(precision="int8"),)),
            licenses=("mit",),
        )

    def register(self, key: str) -> RegisteredVersions:
        """Return a candidate with this key, logged and registered."""
        logged = self._log(key)
        tags = {"slipway.digest": manifest_digest(manifest(self.folder / key))}
        return self.registry.register(self.entry, key, logged, tags)

    def release(
        self, key: str, target: PromotionTarget = "champion", audit: AuditInfo = ANN
    ) -> Release:
        """Return a candidate with this key, promoted."""
        release = Release(
            versions=self.register(key),
            repo="acme/tiny",
            commit="ab" * 20,
            variant="cpu-int8-rtn-block-32",
            verdict=Promoted(reasons=("all checks hold",)),
            promotion=None,
        )
        return self.registry.promote(release, target, f"Release {key}.", audit)

    def aliases(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return the aliases of both wrappers' models."""
        return self.registry.aliases(self.model), self.registry.aliases(
            f"{self.model}-transformers"
        )

    def tags(self, version: int) -> dict[str, str]:
        """Return the tags of a version of the model that serves."""
        return self.registry.tags(self.model, version)

    def damage(self, release: Release) -> None:
        """Flip one bit of the artifact that MLflow keeps."""
        model = self.registry.client.get_logged_model(release.versions.onnx.model_id)
        file = Path(model.artifact_location) / "artifacts" / "model" / "model.onnx"
        content = file.read_bytes()
        file.write_bytes(bytes([content[0] ^ 1]) + content[1:])

    def _log(self, key: str) -> Logged:
        client: Any = self.registry.client
        artifact = self.folder / key
        artifact.mkdir(parents=True, exist_ok=True)
        (artifact / "model.onnx").write_bytes(f"graph of {key}".encode())
        experiment = experiment_id(self.model, self.registry.location)
        run = client.create_run(experiment, tags={KEY: key})
        ids = {}
        for kind in ("onnx", "transformers"):
            logged = client.create_logged_model(experiment, kind, source_run_id=run.info.run_id)
            client.log_model_artifacts(logged.model_id, str(artifact), "artifacts/model")
            client.finalize_logged_model(logged.model_id, "READY")
            ids[kind] = logged.model_id
        return Logged(
            run_id=run.info.run_id,
            model_ids=ids,
            descriptions=dict.fromkeys(ids, "ab" * 32),
            size_bytes=dict.fromkeys(ids, 8),
        )
