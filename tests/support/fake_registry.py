"""A model registry with versions that were never built, for decisions about versions.

Registering a version directly takes a tenth of a second; the line takes half a minute.
"""

import shutil
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from slipway.keys import manifest_digest
from slipway.registry import Registry
from slipway.system.store import manifest, sha256
from slipway.tracking.lease import create_run
from slipway.tracking.location import MlflowLocation, experiment_id
from slipway.tracking.log_models import Logged, LogRequest
from slipway.tracking.logged_files import expected_flavors
from slipway.tracking.seal import SealRequest, seal
from slipway.tracking.signatures import signature
from slipway.tracking.tags import CODE, DIGEST, KEY, LEASE
from slipway.tracking.tags import WRAPPER as KIND
from slipway.tracking.verified_copy import CopyPlace, payload_digest
from slipway.values import (
    WRAPPER_KINDS,
    AuditInfo,
    LoggedWrapper,
    Promoted,
    PromotionTarget,
    RegisteredVersions,
    Release,
    ReleaseSummary,
    Stored,
    WrapperKind,
)
from slipway.values.signers import SigningKey
from tests.support import summaries
from tests.support.project import empty_database

ANN = AuditInfo(actor="ann@harbour", reason="all checks hold")
WRAPPER = Path(__file__).parents[2] / "wrappers" / "onnx_genai.py"
SOURCE = summaries.weights().revision
_NAMES = count()


def fresh_name() -> str:
    """Return the name of a model that no other test has used."""
    return f"tiny-{next(_NAMES)}"


def registry_at(location: MlflowLocation, folder: Path) -> Registry:
    """Return a registry that keeps its locks and its copies in ``folder``."""
    copies = CopyPlace(
        location=location, root=folder / "copies", store=folder / "store", wrappers=WRAPPER.parent
    )
    return Registry(copies, folder / "locks")


def new_registry(folder: Path) -> Registry:
    """Return a registry with a database of its own in ``folder``, which exists."""
    shutil.copy(empty_database(), folder)
    place = MlflowLocation(uri=f"sqlite:///{folder / 'mlflow.db'}", artifacts=folder / "artifacts")
    return registry_at(place, folder)


@dataclass(frozen=True)
class FakeRegistry:
    """One model in a registry, whose releases are made up.

    Attributes:
        registry: Where it stands.
        folder: Room for the files that are logged.
        model: Its name.
        signing_key: Signs its releases, which then have a record.
    """

    registry: Registry
    folder: Path
    model: str = "tiny"
    signing_key: SigningKey | None = None

    def request(self, key: str) -> LogRequest:
        """Return what a release with this key logs: a made up artifact, and made up weights."""
        artifact = self._stored(key, "model.onnx")
        tags = {DIGEST: manifest_digest(artifact.files), CODE: sha256(WRAPPER)}
        return LogRequest(
            location=self.registry.location,
            key=key,
            model=self.model,
            title="Tiny",
            contract="prompt",
            weights=summaries.weights().model_copy(
                update={"stored": self._stored(f"{key}-weights", "model.safetensors")}
            ),
            artifact=summaries.artifact(stored=artifact),
            wrapper=WRAPPER,
            tools={},
            tags=tags,
        )

    def register(self, key: str) -> RegisteredVersions:
        """Return a candidate with this key, logged and registered."""
        request = self.request(key)
        return self.registry.register(request, self.log(request))

    def release(
        self,
        key: str,
        target: PromotionTarget = "champion",
        audit: AuditInfo = ANN,
        *,
        dated: datetime | None = None,
        overtakes: bool = False,
    ) -> Release:
        """Return a candidate with this key, promoted unless its source is older."""
        release = Release(
            versions=self.sealed(key, dated).versions if self.signing_key else self.register(key),
            repo=SOURCE.source.repo,
            commit=SOURCE.commit,
            variant=summaries.artifact().variant,
            verdict=Promoted(reasons=("all checks hold",)),
            promotion=None,
            dated=dated,
        )
        text = f"Release {key}."
        return self.registry.promote(release, target, text, audit, overtakes=overtakes)

    def summary(self, key: str, dated: datetime | None = None, **changes: Any) -> ReleaseSummary:
        """Return what was decided about a candidate with this key, registered now."""
        request = self.request(key)
        revision = request.weights.revision.model_copy(update={"dated": dated})
        return summaries.promoted(
            versions=self.registry.register(request, self.log(request)),
            weights=request.weights.model_copy(update={"revision": revision}),
            selection=summaries.selection(request.artifact),
            **changes,
        )

    def sealed(self, key: str, dated: datetime | None = None, **changes: Any) -> ReleaseSummary:
        """Return what was decided about a candidate with this key, whose record is written."""
        decided = self.summary(key, dated, **changes)
        run_id = decided.versions.run_id
        self.registry.client.log_metric(run_id, "kl_mean", 0.01)
        self.registry.client.log_text(run_id, "# Report", "report.md")
        seal(self.seal_request(decided))
        return decided

    def seal_request(self, decided: ReleaseSummary) -> SealRequest:
        """Return what the record of a release says beside its summary."""
        return SealRequest(
            place=self.registry.copies,
            environment="dev",
            summary=decided,
            description=f"Release {decided.versions.key}.",
            started=ANN,
            tools={"onnxruntime": "1.32.0"},
            tested_with={"prompts": "ab" * 32},
            signing_key=self.signing_key,
        )

    def aliases(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return the aliases of both wrappers' models."""
        return self.registry.aliases(self.model), self.registry.aliases(
            f"{self.model}-transformers"
        )

    def move_by_hand(self, version: int) -> None:
        """Move the champion of both models, as somebody does in the MLflow UI."""
        for name in (self.model, f"{self.model}-transformers"):
            self.registry.client.set_registered_model_alias(name, "champion", str(version))

    def tags(self, version: int) -> dict[str, str]:
        """Return the tags of a version of the model that serves."""
        return self.registry.tags(self.model, version)

    def file(self, wrapper: LoggedWrapper, path: str = "artifacts/model/model.onnx") -> Path:
        """Return a file of a logged model, as MLflow keeps it."""
        model = self.registry.client.get_logged_model(wrapper.model_id)
        return Path(model.artifact_location) / path

    def damage(self, release: Release, path: str = "artifacts/model/model.onnx") -> None:
        """Flip one bit of a file that MLflow keeps of the version that serves."""
        file = self.file(release.versions.onnx, path)
        content = file.read_bytes()
        file.write_bytes(bytes([content[0] ^ 1]) + content[1:])

    def log(self, request: LogRequest) -> Logged:
        """Log what ``log_models.log`` would, as far as the registry looks at it."""
        client: Any = self.registry.client
        experiment = experiment_id(client, self.model, self.registry.location)
        run_id = create_run(client, experiment, request.lease, request.key, {KEY: request.key})
        lease = {LEASE: request.lease.id}
        ids: dict[WrapperKind, str] = {}
        descriptions: dict[WrapperKind, str] = {}
        digests: dict[WrapperKind, str] = {}
        for kind in WRAPPER_KINDS:
            folder = self.folder / f"{request.key}-{kind}"
            shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
            if kind == "onnx":
                shutil.copytree(request.artifact.stored.folder, folder / "artifacts" / "model")
                shutil.copy(request.wrapper, folder)
            else:
                shutil.copytree(request.weights.stored.folder, folder / "model")
            description = {
                "flavors": expected_flavors(kind, request),
                "signature": signature(request.contract).to_dict(),
            }
            (folder / "MLmodel").write_text(yaml.safe_dump(description), encoding="utf-8")
            logged = client.create_logged_model(experiment, kind, run_id, tags=lease)
            client.log_model_artifacts(logged.model_id, str(folder))
            client.finalize_logged_model(logged.model_id, "READY")
            client.set_logged_model_tags(logged.model_id, {KEY: request.key, KIND: kind})
            ids[kind], descriptions[kind] = logged.model_id, sha256(folder / "MLmodel")
            digests[kind] = payload_digest(kind, manifest(folder))
            shutil.rmtree(folder)
        client.set_terminated(run_id, "FINISHED")
        return Logged(run_id=run_id, model_ids=ids, descriptions=descriptions, digests=digests)

    def _stored(self, name: str, file: str) -> Stored:
        folder = self.folder / name / "model"  # as the store calls it
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(f"bytes of {name}".encode())
        return Stored(key=name, folder=folder, files=manifest(folder))
