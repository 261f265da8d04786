"""Two versions of the tiny model in a registry, and a server for tests that change nothing."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway import catalogue
from slipway.build import artifacts
from slipway.registry import Registry
from slipway.settings import toolchain
from slipway.sources import checkpoint as checkpoint_module
from slipway.system.call import call
from slipway.system.process import ProcessLimits
from slipway.system.store import Store, manifest
from slipway.system.workspace import Workspace
from slipway.tracking import log_models
from slipway.tracking.location import MlflowLocation
from slipway.values import Artifact, Entry, RegisteredVersions, Weights
from tests.support.model_servers import MODEL, Registered, Server, serving
from tests.support.project import CATALOGUE, PROJECT

UNTAUGHT = 319  # a token that the tiny model was not taught


@pytest.fixture(scope="session")
def registered(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Registered:
    """Register what a release registers, without Prefect and without a smoke test.

    Version 1 is the tiny model. Version 2 differs in its end-of-text token, so that each of its
    answers continues until a limit ends it.
    """
    folder = tmp_path_factory.mktemp("serving")
    (folder / "checkpoint").symlink_to(checkpoint)
    (folder / "catalogue.toml").write_text(CATALOGUE.format(contract="chat"), encoding="utf-8")
    entry = catalogue.find(folder / "catalogue.toml", MODEL)
    home = folder / "home"
    limits = ProcessLimits(timeout_seconds=300, memory_bytes=None, logs=home / "logs")
    workspace = Workspace(Store(home / "store"), limits, toolchain())
    weights = checkpoint_module.download(checkpoint_module.resolve(entry), workspace)
    (attempt,) = artifacts.build(weights, entry.recipe, workspace)
    artifact = attempt.artifact
    assert artifact is not None
    endless = _endless(artifact, folder / "endless" / "model")
    _register(entry, weights, artifact, home, limits)
    second = _register(entry, weights, endless, home, limits)
    return Registered(home, _weights_file(home, second))


@pytest.fixture(scope="session")
def server(registered: Registered, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve version 1 to all tests that change nothing; an answer has at most 64 tokens."""
    folder = tmp_path_factory.mktemp("server")
    with serving(registered.home, folder, 1, SLIPWAY_SERVING_MAX_TOKENS="64") as running:
        yield running


def _register(
    entry: Entry, weights: Weights, artifact: Artifact, home: Path, limits: ProcessLimits
) -> RegisteredVersions:
    wrapper = PROJECT / "wrappers" / "onnx_genai.py"
    tags = log_models.origin(weights.revision, artifact, wrapper, None).to_tags()
    request = log_models.LogRequest(
        location=MlflowLocation(
            uri=f"sqlite:///{home}/mlflow/mlflow.db", artifacts=home / "mlflow/artifacts"
        ),
        key=tags["slipway.digest"],
        entry=entry,
        weights=weights,
        artifact=artifact,
        wrapper=wrapper,
        tools=toolchain(),
        tags=tags,
    )
    logged = call(log_models.log, request, limits, step="log").value
    return Registry(request.location, home / "locks").register(entry, request.key, logged, tags)


def _endless(artifact: Artifact, folder: Path) -> Artifact:
    shutil.copytree(artifact.stored.folder, folder)
    file = folder / "genai_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config["model"]["eos_token_id"] = UNTAUGHT
    file.write_text(json.dumps(config), encoding="utf-8")
    stored = artifact.stored.model_copy(update={"folder": folder, "files": manifest(folder)})
    return artifact.model_copy(update={"stored": stored})


def _weights_file(home: Path, candidate: RegisteredVersions) -> Path:
    model = home / "mlflow/artifacts" / MODEL / "models" / candidate.onnx.model_id / "artifacts"
    return model / "artifacts" / "model" / "model.onnx.data"
