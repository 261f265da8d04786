"""Versions of the tiny model in a registry, and a server for tests that change nothing."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slipway import catalogue
from slipway.build import artifacts
from slipway.libraries import toolchain
from slipway.sources import checkpoint as checkpoint_module
from slipway.system.call import call
from slipway.system.process import ProcessLimits
from slipway.system.store import Store, manifest
from slipway.system.workspace import Workspace
from slipway.tracking import log_models
from slipway.tracking.location import MlflowLocation
from slipway.values import Artifact, Entry, RegisteredVersions, Weights
from tests.support.cache import copy_home
from tests.support.fake_registry import registry_at
from tests.support.model_servers import MODEL, PAGES, Registered, Server, serving
from tests.support.project import CATALOGUE, PROJECT, made_once

UNTAUGHT = 319  # a token that the tiny model was not taught
#: A chat template without end: at six turns in one operation, which holds the interpreter's lock,
#: at eight in taking memory, and at ten in a loop. It declines three turns.
HOSTILE = """\
{%- set turns = messages | length -%}
{%- if turns == 3 -%}{{- raise_exception("no third turn") -}}{%- endif -%}
{%- if turns == 6 -%}{{- (turns ** (turns ** 10)) % 2 -}}{%- endif -%}
{%- if turns == 10 -%}
{%- for a in range(100000) -%}{%- for b in range(100000) -%}{%- endfor -%}{%- endfor -%}
{%- endif -%}
{%- if turns == 8 -%}
{%- set ns = namespace(text="0123456789" * 100) -%}
{%- for a in range(60) -%}{%- set ns.text = ns.text + ns.text -%}{%- endfor -%}
{%- endif -%}
"""


@pytest.fixture(scope="session")
def registered(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Registered:
    """Return a copy of what a release registers, made without Prefect and without a smoke test.

    Version 1 is the tiny model. Version 2 differs in its end-of-text token, so that each of its
    answers continues until a limit ends it. Version 3 has a hostile chat template.
    """
    template = made_once(tmp_path_factory, "registered", lambda into: _release(into, checkpoint))
    folder = tmp_path_factory.mktemp("serving")
    copy_home(template, folder)
    return Registered(folder / "home", folder / (template / "weights").read_text(encoding="utf-8"))


def _release(folder: Path, checkpoint: Path) -> None:
    """Register the three versions."""
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
    endless = _changed(artifact, folder / "endless" / "model", "genai_config.json", _without_end)
    hostile = _changed(
        artifact, folder / "hostile" / "model", "chat_template.jinja", HOSTILE.__add__
    )
    _register(entry, weights, artifact, home, limits)
    second = _register(entry, weights, endless, home, limits)
    _register(entry, weights, hostile, home, limits)
    file = _weights_file(home, second).relative_to(folder)
    (folder / "weights").write_text(str(file), encoding="utf-8")


@pytest.fixture(scope="session")
def server(registered: Registered, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve version 1 to all tests that change nothing; an answer has at most 64 tokens."""
    folder = tmp_path_factory.mktemp("server")
    variables = {"SLIPWAY_SERVING_MAX_TOKENS": "64", "SLIPWAY_ALLOWED_ORIGINS": PAGES}
    with serving(registered.home, folder, 1, **variables) as running:
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
        model=entry.name,
        title=entry.title,
        contract=entry.wrappers.onnx,
        weights=weights,
        artifact=artifact,
        wrapper=wrapper,
        tools=toolchain(),
        tags=tags,
    )
    logged = call(log_models.log, request, limits, step="log").value
    return registry_at(request.location, home).register(request, logged)


def _without_end(text: str) -> str:
    config = json.loads(text)
    config["model"]["eos_token_id"] = UNTAUGHT
    return json.dumps(config)


def _changed(artifact: Artifact, folder: Path, name: str, change: Callable[[str], str]) -> Artifact:
    shutil.copytree(artifact.stored.folder, folder)
    file = folder / name
    file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8")
    stored = artifact.stored.model_copy(update={"folder": folder, "files": manifest(folder)})
    return artifact.model_copy(update={"stored": stored})


def _weights_file(home: Path, candidate: RegisteredVersions) -> Path:
    model = home / "mlflow/artifacts" / MODEL / "models" / candidate.onnx.model_id / "artifacts"
    return model / "artifacts" / "model" / "model.onnx.data"


@pytest.fixture
def found_by_commands(
    registered: Registered, server: Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Let commands find the server that all tests share in the home of the registry."""
    monkeypatch.setenv("SLIPWAY_HOME", str(registered.home))
    monkeypatch.setenv("COLUMNS", "300")
    file = registered.home / "serving" / MODEL / "server.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(server.pointer.with_name("server.json").read_bytes())
    yield
    file.unlink()
