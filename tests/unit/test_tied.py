"""Token embeddings are read from the quantized output layer, and nothing else changes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from slipway.build import onnx, tied
from slipway.errors import StepCrashed
from slipway.evaluation.runtime import Runtime
from slipway.system.call import call
from slipway.system.process import ProcessLimits
from slipway.validation import folders
from slipway.values import Quantization
from tests.support.tied import write_tied
from tests.support.tiny_phi3 import build_onnx

MIXED = Quantization(
    precision="int4",
    method="k_quant",
    mixed=("last_matmul", "mixed_layers"),
    embeddings="tied",
)
INT4 = "MatMulNBits int4 block 32 level 4"
INT8 = "MatMulNBits int8 block 32 level 4"
TIED = "GatherBlockQuantized int8 block 32 tied"


@pytest.fixture(scope="session")
def tied_checkpoint(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tiny Phi-3 with its embeddings as output layer."""
    return write_tied(checkpoint, tmp_path_factory.mktemp("tied") / "checkpoint")


def logits(artifact: Path) -> NDArray[np.float32]:
    """Return an artifact's logits on a fixed text."""
    token_ids = np.random.default_rng(0).integers(6, 200, 48).astype(np.int32)
    return np.concatenate(list(Runtime(artifact).logits(token_ids)))


def size_bytes(artifact: Path) -> int:
    """Return the size of an artifact's graph with its data."""
    return sum((artifact / name).stat().st_size for name in ("model.onnx", "model.onnx.data"))


@pytest.mark.parametrize(
    ("precision", "block_size"),
    [
        pytest.param("int8", 32, id="int8"),
        pytest.param("int4", 128, id="int4, whose rows of 64 are padded to a block of 128"),
    ],
)
def test_tied_embeddings_compute_the_same_in_fewer_bytes(
    tied_checkpoint: Path, tmp_path: Path, precision: str, block_size: int
) -> None:
    """As near to float32 embeddings as the output layer's own precision allows."""
    floats = build_onnx(tied_checkpoint, tmp_path / "float", precision, block_size=block_size)
    artifact = shutil.copytree(floats, tmp_path / "tied")

    tied.tie(artifact)

    nodes = folders.check_artifact(artifact).nodes
    assert nodes[f"GatherBlockQuantized {precision} block {block_size} tied"] == 1
    assert size_bytes(artifact) < size_bytes(floats)
    assert {each.name for each in artifact.iterdir()} == {each.name for each in floats.iterdir()}
    before, after = logits(floats), logits(artifact)
    allowed = {"int8": 0.02, "int4": 0.4}[precision]
    assert np.abs(after - before).mean() < allowed * before.std()


def test_embeddings_in_float32_stay_where_the_recipe_says_so(
    tied_checkpoint: Path, tmp_path: Path
) -> None:
    """A graph without the embeddings that are asked for is refused, and so is the reverse."""
    nodes = folders.check_artifact(build_onnx(tied_checkpoint, tmp_path / "float", "int8")).nodes
    asked = Quantization(precision="int8")

    onnx.require_as_asked(nodes, asked.for_checkpoint(tied=False), "log")
    with pytest.raises(StepCrashed, match="asked for cpu-int8-rtn-block-32-tied-embeddings"):
        onnx.require_as_asked(nodes, asked.for_checkpoint(tied=True), "log")
    with pytest.raises(StepCrashed, match="asked for cpu-int8-rtn-block-32-float-embeddings"):
        onnx.require_as_asked({**nodes, TIED: 1}, asked.for_checkpoint(tied=False), "log")


def test_the_builder_ties_and_mixes_an_int4_artifact(
    tied_checkpoint: Path, limits: ProcessLimits, tmp_path: Path
) -> None:
    """The groups are int8, the rest is int4, and the embeddings are those of the output layer."""
    into = tmp_path / "artifact" / "model"
    into.mkdir(parents=True)
    request = onnx.BuildRequest(weights=tied_checkpoint, into=into, quantization=MIXED)

    call(onnx.build, request, limits, step="build")

    nodes = folders.check_artifact(into).nodes
    assert nodes == {TIED: 1, INT4: nodes[INT4], INT8: nodes[INT8]}
    assert np.isfinite(logits(into)).all()
    onnx.require_as_asked(nodes, MIXED, "log")


@pytest.mark.parametrize(
    "nodes",
    [
        pytest.param({TIED: 1, INT4: 9}, id="no group is finer"),
        pytest.param({TIED: 1, INT8: 9}, id="nothing is int4"),
        pytest.param({INT4: 8, INT8: 1}, id="the embeddings are not tied"),
        pytest.param({TIED.removesuffix(" tied"): 1, INT4: 8, INT8: 1}, id="a matrix of its own"),
    ],
)
def test_a_graph_that_is_not_as_asked_is_refused(nodes: dict[str, int]) -> None:
    """The builder ignores some options in silence."""
    with pytest.raises(StepCrashed, match="int8_mixed_layers-tied-embeddings, and the graph"):
        onnx.require_as_asked(nodes, MIXED, "log")


@pytest.mark.parametrize(
    ("change", "is_tied"),
    [
        pytest.param(lambda _: {}, True, id="the configuration says so"),
        pytest.param(lambda config: config.pop("tie_word_embeddings"), True, id="no output layer"),
        pytest.param(
            lambda config: config.update(tie_word_embeddings=False), False, id="it denies"
        ),
    ],
)
def test_a_checkpoint_says_whether_it_ties(
    tied_checkpoint: Path,
    tmp_path: Path,
    change: Callable[[dict[str, object]], object],
    is_tied: bool,
) -> None:
    """In its configuration, or by having no output layer of its own."""
    folder = shutil.copytree(tied_checkpoint, tmp_path / "copy")
    config = json.loads((folder / "config.json").read_bytes())
    change(config)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")

    assert folders.check_checkpoint(folder).tied is is_tied


def test_a_checkpoint_with_an_output_layer_does_not_tie(checkpoint: Path) -> None:
    """Such as the tiny Phi-3 itself."""
    assert not folders.check_checkpoint(checkpoint).tied
