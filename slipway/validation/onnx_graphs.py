"""ONNX graphs: bounded, of known operators, and with no data but that beside them.

The rules are those of https://onnx.ai/onnx/repo-docs/Security.html, applied before a runtime sees
the file; a graph is a program, and is run in a child process all the same.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slipway.errors import SourceRefused

_DOMAINS = ("", "ai.onnx", "com.microsoft")
#: Operators that run Python or PyTorch, or load a compiled program.
_FOREIGN = ("ATen", "ATenGrad", "EPContext", "PyCustomOp", "PyOp", "PythonOp", "PythonOpGrad")
_MOST_NODES = 1_000_000
_LARGEST_GRAPH_BYTES = 2_000_000_000
_LONGEST_NUMBER = 18

_AGAIN = "fetch or build it again"
_BUILDER = "use a graph of the builder of onnxruntime-genai"


def check(files: dict[str, Path]) -> int:
    """Check every graph of a source, and that no data lies there that none of them refers to.

    Args:
        files: All files of the source, by relative path.

    Returns:
        Nodes of all graphs.

    Raises:
        SourceRefused: Naming the file and the rule that it breaks.
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
    """Return the graph without its data; a damaged one fails in more ways than one."""
    import onnx

    if path.stat().st_size > _LARGEST_GRAPH_BYTES:
        rule = f"a graph of {path.stat().st_size / 1e9:.1f} GB, and 2 GB are the limit"
        raise SourceRefused(name, rule, "save its weights as external data")
    try:
        model = onnx.load(path, format="protobuf", load_external_data=False)
    except Exception as error:  # whatever protobuf raises then
        raise SourceRefused(name, "not an ONNX graph, or cut short", _AGAIN) from error
    if not model.graph.node:
        raise SourceRefused(name, "a graph without a node", _AGAIN)
    return model


def _check_nodes(name: str, model: Any) -> int:
    bodies = tuple(_bodies(model))
    imports = (
        *model.opset_import,
        *(each for body in model.functions for each in body.opset_import),
    )
    nodes = [node for body in bodies for node in body.node]
    if len(nodes) > _MOST_NODES:
        raise SourceRefused(
            name, f"{len(nodes):,} nodes, and {_MOST_NODES:,} are the limit", _BUILDER
        )
    used = {opset.domain for opset in imports} | {
        each.domain for each in (*nodes, *model.functions)
    }
    for domain in sorted(used - set(_DOMAINS)):
        raise SourceRefused(name, f"operators of {ascii(domain)[:80]} are not let in", _BUILDER)
    for operator in sorted({node.op_type for node in nodes} & set(_FOREIGN)):
        raise SourceRefused(name, f"its operator {operator} runs foreign code", _BUILDER)
    return len(nodes)


def _bodies(model: Any) -> Iterator[Any]:
    """Yield every graph and function, of graphs within graphs as well, without recursion."""
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
    yield from getattr(body, "attribute_proto", ())  # what a function takes unless told otherwise


def _external(model: Any) -> Iterator[Any]:
    """Yield every tensor whose numbers lie in another file."""
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
    """Return the file that a tensor refers to, having checked that it lies within it."""
    fields = {entry.key: entry.value for entry in tensor.external_data}
    location = fields.get("location", "")
    if "/" in location or "\\" in location or not location.endswith(".data"):
        rule = f"its data lie in {ascii(location)[:80]}, which is no .data file beside it"
        raise SourceRefused(name, rule, _AGAIN)
    path: Path = folder / location
    if not path.is_file():
        raise SourceRefused(name, f"its data {ascii(location)[:80]} are missing", "add the file")
    start, length = (_number(name, fields.get(field, "0")) for field in ("offset", "length"))
    if start + length > path.stat().st_size:
        rule = f"{ascii(tensor.name)[:80]} ends at byte {start + length:,} of {location}, "
        raise SourceRefused(name, f"{rule}which has {path.stat().st_size:,}", _AGAIN)
    return path


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER):
        rule = f"{ascii(text)[:40]} is no place in its data"
        raise SourceRefused(name, rule, _AGAIN)
    return int(text)
