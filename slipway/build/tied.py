"""Edits an artifact's graph so that its token embeddings are read from its output layer.

The builder of onnxruntime-genai 0.18 ties quantized embeddings in int4 artifacts only. The
runtime's operator takes eight bits as well, see
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.GatherBlockQuantized.
"""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

#: Names that the builder gives, whatever the architecture.
_EMBEDDINGS, _OUTPUT_LAYER = "/model/embed_tokens/Gather", "/lm_head/MatMul_Q"
_GRAPH = "model.onnx"


def tie(artifact: Path) -> None:
    """Replace the float32 embeddings of ``artifact`` by its quantized output layer.

    The embeddings' ``Gather`` becomes a ``GatherBlockQuantized`` over the weights, the scales and,
    if there are any, the offsets of the output layer.

    Raises:
        ValueError: If the graph has no such embeddings, or no such output layer.
    """
    import onnx_ir as ir

    model = ir.load(artifact / _GRAPH)
    gather = _only(model.graph, "Gather", _EMBEDDINGS)
    layer = _only(model.graph, "MatMulNBits", _OUTPUT_LAYER)
    floats, token_ids = gather.inputs
    nodes = _lookup(model.graph, layer, token_ids)
    replaced, found = gather.outputs[0], nodes[-1].outputs[0]
    found.name, found.shape, found.type = f"{replaced.name}/tied", replaced.shape, replaced.type
    model.graph.insert_before(gather, nodes)
    replaced.replace_all_uses_with(found)
    model.graph.remove(gather, safe=True)
    del model.graph.initializers[floats.name]
    save(model, artifact)


def _lookup(graph: Any, layer: Any, token_ids: Any) -> list[Any]:
    """Return the nodes that read the rows of ``token_ids`` from the weights of ``layer``."""
    import onnx_ir as ir

    bits, block, columns = (layer.attributes[name].as_int() for name in ("bits", "block_size", "K"))
    _, weights, scales, *offsets = layer.inputs
    rows, blocks, bytes_of_a_block = weights.const_value.shape
    shape = _constant(graph, "shape", [rows, blocks * bytes_of_a_block])
    reshape = ir.node("Reshape", [weights, shape], name=f"{_EMBEDDINGS}/Reshape")
    gather = ir.node(
        "GatherBlockQuantized",
        [reshape.outputs[0], token_ids, scales, *offsets[:1]],
        {"bits": bits, "block_size": block, "gather_axis": 0, "quantize_axis": 1},
        domain=layer.domain,
        name=f"{_EMBEDDINGS}BlockQuantized",
    )
    if columns == blocks * block:
        return [reshape, gather]
    limits = [_constant(graph, *each) for each in (("start", [0]), ("end", [columns]))]
    axis = _constant(graph, "axis", [-1])  # the last block of each row is padded
    cut = ir.node("Slice", [gather.outputs[0], *limits, axis], name=f"{_EMBEDDINGS}/Slice")
    return [reshape, gather, cut]


def _constant(graph: Any, name: str, numbers: list[int]) -> Any:
    import onnx_ir as ir

    tensor = ir.tensor(np.array(numbers, dtype=np.int64))
    value = ir.Value(name=f"{_EMBEDDINGS}/{name}", const_value=tensor)
    graph.register_initializer(value)
    return value


def _only(graph: Any, kind: str, name: str) -> Any:
    """Return the only node of a kind whose name begins with ``name``."""
    found = [node for node in graph if node.op_type == kind and (node.name or "").startswith(name)]
    if len(found) != 1:
        raise ValueError(f"the graph has {len(found)} nodes {kind} that are called {name}")
    return found[0]


def save(model: Any, artifact: Path) -> None:
    """Write a graph and its data anew: the old data file has what the graph no longer has."""
    import onnx_ir as ir

    with TemporaryDirectory(dir=artifact.parent, prefix="tied-") as folder:
        ir.save(model, Path(folder) / _GRAPH, external_data=f"{_GRAPH}.data")
        for path in Path(folder).iterdir():
            shutil.move(path, artifact / path.name)
