"""Replaces the numbers of an int4 artifact by those that GPTQ finds on calibration texts.

The builder of onnxruntime-genai 0.18 rounds to nearest. Graph and size stay as it made them, and so
does what is not in int4 and the output layer.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.build import gptq, tied
from slipway.sources.layers import Floats, replace_matrices
from slipway.system.progress import report
from slipway.values import Calibration

_BITS, _WITH_OFFSETS = 4, 3
_NODE = re.compile(r"/model/layers\.(\d+)/(attn|mlp)/(\w+)/MatMul_Q4")
_BLOCKS = {"attn": "self_attn", "mlp": "mlp"}  # as transformers calls them
#: Largest mean difference of a rounded number from its own, in scales; rounding alone has 0.25.
_ROUNDING = 0.5
_TINY = 1e-12


def calibrate(artifact: Path, weights: Path, calibration: Calibration) -> None:
    """Replace the numbers of every int4 product in the layers of ``artifact``.

    Args:
        artifact: What the builder made, rounded to nearest.
        weights: The checkpoint of which it was made.
        calibration: What the checkpoint reads.

    Raises:
        ValueError: If the layers have no product in int4, or one that is not the checkpoint's.
    """
    import onnx_ir as ir

    model = ir.load(artifact / "model.onnx")
    nodes = {f"{found[1]}.{_BLOCKS[found[2]]}.{found[3]}": node for node, found in _int4(model)}
    if not nodes:
        raise ValueError("no layer has a product in int4, so there is nothing to calibrate")
    layers: dict[int, list[str]] = {}
    for name in nodes:
        number, _, product = name.partition(".")
        layers.setdefault(int(number), []).append(product)
    done: list[str] = []

    def replace(name: str, matrix: Floats, square: Floats) -> Floats:
        found = _quantized(nodes[name], matrix, square)
        done.append(name)
        report(0.8 + 0.15 * len(done) / len(nodes), f"calibrated {len(done)} of {len(nodes)}")
        return found.numbers

    replace_matrices(weights, calibration.texts, layers, replace)
    tied.save(model, artifact)


def _int4(model: Any) -> Iterator[tuple[Any, re.Match[str]]]:
    """Yield the products of the layers that are in int4, each with what its name says."""
    for node in model.graph:
        found = _NODE.fullmatch(node.name or "")
        if found and node.op_type == "MatMulNBits" and node.attributes["bits"].as_int() == _BITS:
            yield node, found


def _quantized(node: Any, matrix: Floats, square: Floats) -> gptq.Rounded:
    """Return a product's matrix in int4, and write it to its node."""
    import onnx_ir as ir

    values = [each for each in node.inputs[1:4] if each is not None]  # the last: offsets, if any
    before = [each.const_value.numpy() for each in values]
    block_size = node.attributes["block_size"].as_int()
    _require_same(node.name, _read(before, matrix.shape, block_size), matrix)
    found = gptq.quantize(matrix, square, block_size, symmetric=len(values) < _WITH_OFFSETS)
    after = (_packed(_filled(found.codes, block_size)), found.scales, _packed(found.offsets))
    for value, old, new in zip(values, before, after, strict=False):
        tensor = new.reshape(old.shape).astype(old.dtype)
        value.const_value = ir.tensor(tensor, name=value.name)
    return found


def _read(values: list[NDArray[Any]], shape: tuple[int, ...], block_size: int) -> gptq.Rounded:
    """Return the matrix that a node has: its codes, scales and, if there are any, offsets."""
    rows, columns = shape
    codes = _unpacked(values[0].reshape(rows, -1))[:, :columns]
    scales = values[1].reshape(rows, -1)
    offsets: NDArray[np.uint8] = np.full_like(scales, gptq.MIDDLE, dtype=np.uint8)
    if len(values) == _WITH_OFFSETS:
        offsets = _unpacked(values[2].reshape(rows, -1))[:, : scales.shape[1]]
    return gptq.Rounded(codes, scales, offsets, block_size)


def _require_same(name: str, built: gptq.Rounded, matrix: Floats) -> None:
    """Check that a node has the checkpoint's matrix: a builder may have folded others into it."""
    scales = np.abs(built.scales).repeat(built.block_size, axis=1)[:, : matrix.shape[1]]
    lost = np.abs(built.numbers - matrix).mean() / max(float(scales.mean()), _TINY)
    if lost > _ROUNDING:
        raise ValueError(f"{name} is not the checkpoint's matrix, so it cannot be calibrated")


def _filled(codes: NDArray[np.uint8], block_size: int) -> NDArray[np.uint8]:
    """Fill the last block of each row up with codes of zero."""
    missing = -codes.shape[1] % block_size
    return np.pad(codes, ((0, 0), (0, missing)), constant_values=gptq.MIDDLE)


def _packed(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return two codes a byte, the first in the lower half; an odd one is followed by 0."""
    even = np.pad(codes, ((0, 0), (0, codes.shape[1] % 2)))
    return (even[:, 0::2] | even[:, 1::2] << _BITS).astype(np.uint8)


def _unpacked(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    codes = np.stack([packed & gptq.LARGEST, packed >> _BITS], axis=-1)
    return codes.reshape(len(packed), -1)
