"""ONNX graphs: of limited size, of known operators, with data in the same folder only.

The rules are those of https://onnx.ai/onnx/repo-docs/Security.html, applied before a runtime opens
the file. A graph is a program all the same, and is run in a child process.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slipway.errors import SourceRefused

_DOMAINS = ("", "ai.onnx", "com.microsoft")
#: Operators that run Python or PyTorch, or load a compiled program.
_FOREIGN = ("ATen", "ATenGrad", "EPContext", "PyCustomOp", "PyOp", "PythonOp", "PythonOpGrad")
_MAX_NODES = 1_000_000
_LARGEST_GRAPH_BYTES = 2_000_000_000
_MAX_DIGITS = 18

_FETCH_AGAIN = "fetch or build it again"
_BUILDER = "use a graph that the builder of onnxruntime-genai wrote"


def check(files: dict[str, Path]) -> int:
    """Check every graph of a source, and that each data file belongs to one of them.

    Args:
        files: All files of the source, by relative path.

    Returns:
        Nodes of all graphs.

    Raises:
        SourceRefused: With the file and the rule that it breaks.
    """
    graphs = {name: path for name, path in files.items() if path.suffix == ".onnx"}
    nodes, used = 0, set[Path]()
    for name, path in graphs.items():
        model = _load(name, path)
        nodes += _check_nodes(name, model)
        used |= {_check_data(name, path.parent, tensor) for tensor in _external(model)}
    for name, path in files.items():
        if path.suffix == ".data" and path not in used:
            raise SourceRefused(name, "no graph in its folder refers to it", "remove it")
    return nodes


def _load(name: str, path: Path) -> Any:
    """Return the graph without its data."""
    import onnx

    if path.stat().st_size > _LARGEST_GRAPH_BYTES:
        rule = f"a graph of {path.stat().st_size / 1e9:.1f} GB, and 2 GB are the limit"
        raise SourceRefused(name, rule, "save its weights as external data")
    try:
        model = onnx.load(path, format="protobuf", load_external_data=False)
    except Exception as error:  # protobuf raises many kinds
        raise SourceRefused(name, "not an ONNX graph, or cut short", _FETCH_AGAIN) from error
    if not model.graph.node:
        raise SourceRefused(name, "a graph without a node", _FETCH_AGAIN)
    return model


def _check_nodes(name: str, model: Any) -> int:
    bodies = tuple(_bodies(model))
    imports = (
        *model.opset_import,
        *(each for body in model.functions for each in body.opset_import),
    )
    nodes = [node for body in bodies for node in body.node]
    if len(nodes) > _MAX_NODES:
        raise SourceRefused(
            name, f"{len(nodes):,} nodes, and {_MAX_NODES:,} are the limit", _BUILDER
        )
    used = {opset.domain for opset in imports} | {
        each.domain for each in (*nodes, *model.functions)
    }
    for domain in sorted(used - set(_DOMAINS)):
        raise SourceRefused(name, f"operators of {ascii(domain)[:80]} are not allowed", _BUILDER)
    for operator in sorted({node.op_type for node in nodes} & set(_FOREIGN)):
        raise SourceRefused(name, f"its operator {operator} runs foreign code", _BUILDER)
    return len(nodes)


def _bodies(model: Any) -> Iterator[Any]:
    """Yield every graph and function, also of graphs within graphs; without recursion."""
    waiting = [model.graph, *model.functions]
    for training in model.training_info:
        waiting += [training.initialization, training.algorithm]
    while waiting:
        body = waiting.pop()
        yield body
        for attribute in _attributes(body):
            waiting += [attribute.g] if attribute.HasField("g") else []
            waiting += attribute.graphs


def _attributes(body: Any) -> Iterator[Any]:
    for node in body.node:
        yield from node.attribute
    yield from getattr(body, "attribute_proto", ())  # defaults of a function


def _external(model: Any) -> Iterator[Any]:
    """Yield every tensor whose data are in another file."""
    for body in _bodies(model):
        for tensor in _tensors(body):
            if tensor.external_data or tensor.data_location:
                yield tensor


def _tensors(body: Any) -> Iterator[Any]:
    sparse = [*getattr(body, "sparse_initializer", ())]
    yield from getattr(body, "initializer", ())
    for attribute in _attributes(body):
        yield from (attribute.t, *attribute.tensors)
        sparse += [attribute.sparse_tensor, *attribute.sparse_tensors]
    for tensor in sparse:
        yield from (tensor.values, tensor.indices)


def _check_data(name: str, folder: Path, tensor: Any) -> Path:
    """Return the file that a tensor refers to, after checking that the file contains its data."""
    fields = {entry.key: entry.value for entry in tensor.external_data}
    location = fields.get("location", "")
    if "/" in location or "\\" in location or not location.endswith(".data"):
        rule = f"its data are in {ascii(location)[:80]}, which is no .data file of its folder"
        raise SourceRefused(name, rule, _FETCH_AGAIN)
    path: Path = folder / location
    if not path.is_file():
        raise SourceRefused(name, f"its data {ascii(location)[:80]} are missing", "add the file")
    start, length = (_number(name, fields.get(field, "0")) for field in ("offset", "length"))
    if start + length > path.stat().st_size:
        rule = f"{ascii(tensor.name)[:80]} ends at byte {start + length:,} of {location}, "
        raise SourceRefused(name, f"{rule}which has {path.stat().st_size:,}", _FETCH_AGAIN)
    return path


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        rule = f"{ascii(text)[:40]} is not a position in its data"
        raise SourceRefused(name, rule, _FETCH_AGAIN)
    return int(text)
