"""A published artifact that breaks a rule is fetched, refused, and not kept."""

import json
import shutil
from pathlib import Path

import dossiers
import pytest
import tiny_artifact
from acme import ARTIFACT, FAST, ONNX_REPO, selecting

from slipway import steps
from slipway.child import Limits
from slipway.errors import SourceRefused
from slipway.hub_server import LocalHub, RunningHub
from slipway.store import Store
from slipway.values import FolderSource


def test_an_artifact_that_would_load_a_library_never_enters_the_store(
    acme: LocalHub, running: RunningHub, checkpoint: Path, tmp_path: Path, limits: Limits
) -> None:
    """Its bytes are those that the Hub lists, and what they say is refused all the same."""
    config = tiny_artifact.config()
    config["model"]["decoder"]["session_options"]["custom_ops_library"] = "evil.so"
    files = ARTIFACT | {"genai_config.json": json.dumps(config).encode()}
    acme.push(ONNX_REPO, {f"{FAST}/{name}": content for name, content in files.items()})
    mine = shutil.copytree(checkpoint, tmp_path / "mine")
    recipe = selecting(running)
    source = FolderSource(path=mine, repo="me/mine")
    entry = dossiers.entry(licences=("mit",), source=source, recipe=recipe)
    workshop = steps.Workshop(store=Store(tmp_path / "store"), limits=limits, tools={})
    weights = steps.download(steps.resolve(entry), workshop)

    with pytest.raises(SourceRefused, match="'custom_ops_library' was unexpected") as caught:
        steps.prepare(weights, recipe, workshop)

    assert caught.value.file == "genai_config.json"
    kept = [path.name for path in workshop.store.root.iterdir() if (path / "model").is_dir()]
    assert kept == [weights.stored.key]
