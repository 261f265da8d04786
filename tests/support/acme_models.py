"""The repositories of Acme, a maker of tiny models, as the local Hub serves them to tests."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from slipway.sources import hub_client
from slipway.sources.download import Download
from slipway.sources.hub_client import RepositoryAddress
from slipway.system.progress import Progress, silent
from slipway.values import SelectRecipe
from tests.support import tiny_artifact
from tests.support.hub import RunningHub

REPO, ONNX_REPO, TOKEN = "acme/tiny", "acme/tiny-onnx", "hf_of_ann"
CONFIG = {"architectures": ["Phi3ForCausalLM"], "auto_map": {"AutoConfig": "configuration.Tiny"}}
CARD = b"---\nlicense: MIT\n---\n# Tiny\n"
WEIGHTS = bytes(range(256)) * 80
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
NEEDED = {
    "LICENSE": b"Do as you like.",
    "README.md": CARD,
    "config.json": json.dumps({"architectures": ["Phi3ForCausalLM"]}).encode(),
    "model.safetensors.index.json": b'{"weight_map": {"weight": "model[1].safetensors"}}',
    "model[1].safetensors": WEIGHTS,
    "tokenizer.json": b"{}",
    "tokenizer_config.json": json.dumps({"chat_template": TEMPLATE}).encode(),
}
OTHERS = {
    "model1.safetensors.index": b"a name that a careless pattern would match",
    "pytorch_model.bin": WEIGHTS,
    "modeling_tiny.py": b"print('hello')",
    "onnx/model.onnx": WEIGHTS,
}
FAST, SLOW = "cpu_and_mobile/cpu-int4-rtn-block-32-acc-level-4", "cpu_and_mobile/cpu-int4-rtn"
ARTIFACT = {
    "genai_config.json": json.dumps(tiny_artifact.config()).encode(),
    "model.onnx": tiny_artifact.graph().SerializeToString(),
    "model.onnx.data": WEIGHTS,
    "tokenizer.json": b"{}",
    "tokenizer_config.json": b"{}",
}
SELECTED = ARTIFACT | {"README.md": CARD}  # the repository's own card goes with each of its folders


def selecting(running: RunningHub, **changes: Any) -> SelectRecipe:
    """Return a recipe that selects the artifact on that Hub."""
    fields = {"repo": ONNX_REPO, "endpoint": running.endpoint}
    if "candidates" not in changes:
        fields["precision"] = "int4"
    return SelectRecipe(**fields | changes)


def download_of(
    address: RepositoryAddress, paths: Iterable[str], progress: Progress = silent, **options: Any
) -> Download:
    """Return the download of these files as the Hub lists them now."""
    digest = hub_client.info(*address).digest(paths)
    return Download(address, tuple(paths), digest, progress, **options)


def contents(folder: Path) -> dict[str, bytes]:
    """Return everything below ``folder`` by path."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
