"""A published artifact that breaks a rule is downloaded, refused, and not stored."""

import json
import shutil
from pathlib import Path

import pytest

from slipway.build import artifacts
from slipway.errors import SourceRefused
from slipway.sources import checkpoint as checkpoint_module
from slipway.system.process import ProcessLimits
from slipway.system.store import Store
from slipway.system.workspace import Workspace
from slipway.values import FolderSource
from tests.support import summaries, tiny_artifact
from tests.support.acme_models import ARTIFACT, FAST, ONNX_REPO, selecting
from tests.support.hub import LocalHub, RunningHub


def test_an_artifact_that_would_load_a_library_never_enters_the_store(
    acme: LocalHub, running: RunningHub, checkpoint: Path, tmp_path: Path, limits: ProcessLimits
) -> None:
    """Its bytes are those that the Hub lists, and it is refused all the same."""
    config = tiny_artifact.config()
    config["model"]["decoder"]["session_options"]["custom_ops_library"] = "evil.so"
    files = ARTIFACT | {"genai_config.json": json.dumps(config).encode()}
    acme.push(ONNX_REPO, {f"{FAST}/{name}": content for name, content in files.items()})
    mine = shutil.copytree(checkpoint, tmp_path / "mine")
    recipe = selecting(running)
    source = FolderSource(path=mine, repo="me/mine")
    entry = summaries.entry(licenses=("mit",), source=source, recipe=recipe)
    workspace = Workspace(store=Store(tmp_path / "store"), limits=limits, tools={})
    weights = checkpoint_module.download(checkpoint_module.resolve(entry), workspace)

    with pytest.raises(SourceRefused, match="'custom_ops_library' was unexpected") as caught:
        artifacts.build(weights, recipe, workspace)

    assert caught.value.file == "genai_config.json"
    kept = [path.name for path in workspace.store.root.iterdir() if (path / "model").is_dir()]
    assert kept == [weights.stored.key]
