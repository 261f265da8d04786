"""A Phi-3 with a sliding window answers beyond its window, as transformers does."""

import json
import shutil
from pathlib import Path

import pytest

from slipway.build import onnx
from slipway.system.call import call
from slipway.system.process import ProcessLimits
from slipway.values import Quantization

WINDOW = 32


@pytest.fixture(scope="module")
def windowed(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tiny Phi-3 with a window, as Phi-3-mini-4k has one."""
    folder = tmp_path_factory.mktemp("windowed") / "checkpoint"
    shutil.copytree(checkpoint, folder)
    config = json.loads((folder / "config.json").read_bytes()) | {"sliding_window": WINDOW}
    config.pop("layer_types", None)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def test_tokens_beyond_the_window_are_those_of_transformers(
    windowed: Path, limits: ProcessLimits, tmp_path: Path
) -> None:
    """Built without its layers spelled out, it crashes a little after the window."""
    into = tmp_path / "artifact" / "model"
    into.mkdir(parents=True)
    request = onnx.BuildRequest(
        weights=windowed, into=into, quantization=Quantization(precision="fp32")
    )
    call(onnx.build, request, limits, step="build")

    assert _onnx_tokens(into, 3 * WINDOW) == _transformers_tokens(windowed, 3 * WINDOW)


def test_the_checkpoint_itself_is_not_changed(
    windowed: Path, limits: ProcessLimits, tmp_path: Path
) -> None:
    """The layers are spelled out in a copy beside the artifact, which does not stay."""
    before = (windowed / "config.json").read_bytes()
    into = tmp_path / "artifact" / "model"
    into.mkdir(parents=True)
    request = onnx.BuildRequest(
        weights=windowed, into=into, quantization=Quantization(precision="fp32")
    )
    call(onnx.build, request, limits, step="build")

    assert (windowed / "config.json").read_bytes() == before
    assert "config.json" not in {path.name for path in into.iterdir()}
    assert [path.name for path in into.parent.iterdir()] == [into.name]


def _onnx_tokens(folder: Path, count: int) -> list[int]:
    import onnxruntime_genai

    model = onnxruntime_genai.Model(str(folder))
    params = onnxruntime_genai.GeneratorParams(model)
    params.set_search_options(max_length=count + 5, do_sample=False, min_length=count + 5)
    generator = onnxruntime_genai.Generator(model, params)
    generator.append_tokens([7, 8, 9, 10, 11])
    for _ in range(count):
        generator.generate_next_token()
    return [int(token) for token in generator.get_sequence(0)][5 : 5 + count]


def _transformers_tokens(folder: Path, count: int) -> list[int]:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokens = model.generate(
        torch.tensor([[7, 8, 9, 10, 11]]),
        min_new_tokens=count,
        max_new_tokens=count,
        do_sample=False,
    )
    return [int(token) for token in tokens[0]][5:]
