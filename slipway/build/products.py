"""The matrix products of a quantized graph: what a recipe's overrides can name."""

import math
from pathlib import Path

from slipway.values import Value


class Product(Value):
    """A matrix product of a graph.

    Attributes:
        node: Its name before it was quantized, as overrides have it: ``/lm_head/MatMul``.
        weights: How many numbers its matrix has.
    """

    node: str
    weights: int


def read(artifact: Path) -> tuple[Product, ...]:
    """Return the quantized products of an artifact that was built here, in the graph's order."""
    import onnx

    graph = onnx.load(artifact / "model.onnx", load_external_data=False).graph
    return tuple(
        Product(
            node=node.name.rpartition("_Q")[0],
            weights=math.prod(each.i for each in node.attribute if each.name in {"K", "N"}),
        )
        for node in graph.node
        if node.op_type == "MatMulNBits"
    )
