"""GPTQ as a method of a recipe: products change less than by rounding, at the same size."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors.numpy import load_file, save_file

from slipway.build import artifacts, calibrated, gptq
from slipway.errors import SourceMissing
from slipway.evaluation import fidelity
from slipway.evaluation.texts import load_calibration, load_texts
from slipway.settings import PROJECT
from slipway.sources.layers import replace_matrices
from slipway.system.process import ProcessLimits
from slipway.values import (
    Calibration,
    PromptMessage,
    Quantization,
    QuantizeRecipe,
    SearchRecipe,
    Text,
)
from tests.support.measured_values import weights_of, workspace_of
from tests.support.tied import write_tied
from tests.support.tiny_phi3 import CONVERSATIONS, build_onnx

ROWS, COLUMNS, INPUTS = 48, 80, 400  # the last block of each row is not full
SYMMETRIC = pytest.mark.parametrize("symmetric", [True, False])


def layer(seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a random matrix (rows, columns), and inputs (inputs, columns) that are correlated."""
    random = np.random.default_rng(seed)
    mixing = random.normal(size=(12, COLUMNS))
    inputs = random.normal(size=(INPUTS, 12)) @ mixing + 0.1 * random.normal(size=(INPUTS, COLUMNS))
    matrix = random.normal(size=(ROWS, COLUMNS))
    return matrix.astype(np.float32), inputs.astype(np.float32)


def lost(rounded: gptq.Rounded, matrix: NDArray[np.float32], inputs: NDArray[np.float32]) -> float:
    """Return the mean squared change of the products."""
    return float(((inputs @ (rounded.numbers - matrix).T) ** 2).mean())


@SYMMETRIC
@pytest.mark.parametrize("block_size", [16, 32, 128])
def test_products_lose_less_than_by_rounding(block_size: int, *, symmetric: bool) -> None:
    """On inputs that were not seen: a third at most of what the same numbers rounded lose."""
    matrix, inputs = layer()
    seen, unseen = np.split(inputs, 2)
    options = {"symmetric": symmetric}

    calibrated = gptq.quantize(matrix, seen.T @ seen, block_size, **options)
    rounded = gptq.quantize(matrix, np.eye(COLUMNS), block_size, **options)

    assert np.abs(rounded.numbers - matrix).mean() < np.abs(rounded.scales).mean() / 3
    assert lost(calibrated, matrix, unseen) < lost(rounded, matrix, unseen) / 3
    assert (set(np.unique(calibrated.offsets)) == {8}) is symmetric


def test_inputs_and_weights_that_are_zero_have_numbers_too() -> None:
    """Such as a model's unused dimension, and a layer that no text reaches."""
    matrix, inputs = layer()
    matrix[:, :32], inputs[:, 40:50] = 0, 0

    some = gptq.quantize(matrix, inputs.T @ inputs, 32, symmetric=True)
    none = gptq.quantize(matrix, np.zeros((COLUMNS, COLUMNS)), 32, symmetric=False)

    assert np.isfinite(some.numbers).all()
    assert np.abs(some.numbers[:, :32]).max() < 1e-6
    assert np.abs(none.numbers - matrix).max() < np.abs(none.scales).max()


@pytest.fixture(scope="module")
def tied_checkpoint(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tiny Phi-3 with its embeddings as output layer."""
    return write_tied(checkpoint, tmp_path_factory.mktemp("tied") / "checkpoint")


@pytest.mark.parametrize("symmetric", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_recipe_builds_a_calibrated_artifact_that_is_closer_to_its_source(
    tied_checkpoint: Path, limits: ProcessLimits, *, symmetric: bool
) -> None:
    """The same graph and size as by rounding; the key has the texts, and the store the artifact."""
    by_rounding = Quantization(
        precision="int4", mixed=("last_matmul",), embeddings="tied", symmetric=symmetric
    )
    asked = by_rounding.model_copy(update={"method": "gptq"})
    recipe = QuantizeRecipe(candidates=(asked, by_rounding))
    weights, workspace = weights_of(tied_checkpoint), workspace_of(limits)
    known, other = (
        Calibration(texts=(Text(group="known", content=text),))
        for text in (" ".join(map(" ".join, CONVERSATIONS.items())), "Something else.")
    )

    better, rounded = (each.artifact for each in artifacts.build(weights, recipe, workspace, known))
    no_time = replace(workspace, limits=replace(limits, timeout_seconds=0))
    again, rounded_again = artifacts.build(weights, recipe, no_time, known)
    [failed, same] = artifacts.build(weights, recipe, no_time, other)

    assert better
    assert rounded
    assert better.nodes == rounded.nodes
    assert better.stored.size_bytes == pytest.approx(rounded.stored.size_bytes, rel=0.01)
    found = [each.artifact and each.artifact.stored for each in (again, rounded_again)]
    assert found == [better.stored, rounded.stored]
    assert failed.artifact is None, "other texts make another artifact"
    assert same.artifact, "what is not calibrated does not depend on the texts"
    texts = tuple(Text(group="known", content=each) for each in CONVERSATIONS.values())
    reading = fidelity.read_source(weights, texts, workspace)
    close, less = (fidelity.measure(each, reading, workspace) for each in (better, rounded))
    assert not isinstance(close, str)
    assert not isinstance(less, str)
    assert close.kl_mean
    assert less.kl_mean
    assert close.kl_mean.value < less.kl_mean.value


def test_what_gptq_does_not_cover_is_refused_in_the_catalogue() -> None:
    """So ``slipway plan`` refuses it too, before anything is downloaded."""
    for precision in ("int8", "fp32"):
        with pytest.raises(ValidationError, match="gptq calibrates int4 only; use rtn or k_quant"):
            Quantization(precision=precision, method="gptq")


def test_a_search_calibrates_what_is_in_int4() -> None:
    """Everything in int8 is rounded, as before."""
    largest, smallest = SearchRecipe(max_kl=0.1, method="gptq").candidates

    assert (largest.method, smallest.method) == ("rtn", "gptq")


def test_calibration_texts_are_read_if_a_recipe_needs_them(tmp_path: Path) -> None:
    """A project without them is fine until then. None is among the texts of the comparison."""
    expectations = PROJECT / "expectations"
    recipe = SearchRecipe(max_kl=0.1, method="gptq")

    found = load_calibration(recipe, expectations)

    assert load_calibration(SearchRecipe(max_kl=0.1), tmp_path) is None
    with pytest.raises(SourceMissing, match="calibration"):
        load_calibration(recipe, tmp_path)
    assert found
    compared = {
        (each.content, each.messages) for each in load_texts(expectations / "texts/general")
    }
    assert not compared & {(each.content, each.messages) for each in found.texts}


def test_a_matrix_that_is_not_the_checkpoints_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    """A builder that folds a norm into a product, or turns it, makes another matrix."""
    other = shutil.copytree(checkpoint, tmp_path / "other")
    tensors = load_file(other / "model.safetensors")
    tensors["model.layers.0.self_attn.o_proj.weight"] *= 2
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    artifact = build_onnx(checkpoint, tmp_path / "artifact", "int4")
    calibration = Calibration(texts=(Text(group="known", content="Tell me a joke."),))

    with pytest.raises(ValueError, match=r"0/attn/o_proj/MatMul_Q4 is not the checkpoint's"):
        calibrated.calibrate(artifact, other, calibration)


def test_an_artifact_without_int4_in_its_layers_cannot_be_calibrated(
    checkpoint: Path, tmp_path: Path
) -> None:
    """Where overrides leave none of them in int4."""
    artifact = build_onnx(checkpoint, tmp_path / "artifact", "int8")

    with pytest.raises(ValueError, match="no layer has a product in int4"):
        calibrated.calibrate(artifact, checkpoint, Calibration(texts=()))


def test_each_layer_reads_what_the_replaced_layers_before_it_give(checkpoint: Path) -> None:
    """And a conversation is read in the model's own template."""
    texts = (
        Text(group="prose", content="Tell me a joke."),
        Text(group="chat", messages=(PromptMessage(role="user", content="Count to ten."),)),
    )
    products = {0: ("mlp.down_proj",), 1: ("self_attn.qkv_proj",)}
    seen: dict[str, list[NDArray[Any]]] = {"0.mlp.down_proj": [], "1.self_attn.qkv_proj": []}

    def same(name: str, matrix: NDArray[Any], square: NDArray[Any]) -> NDArray[Any]:
        seen[name].append(square)
        return matrix

    def zero(name: str, matrix: NDArray[Any], square: NDArray[Any]) -> NDArray[Any]:
        return same(name, matrix, square) * 0

    for replaced in (same, same, zero):
        replace_matrices(checkpoint, texts, products, replaced)

    first, again, other = seen["1.self_attn.qkv_proj"]
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)
    assert np.array_equal(seen["0.mlp.down_proj"][0], seen["0.mlp.down_proj"][2])
