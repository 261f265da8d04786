"""ONNX graphs: of limited size, of known operators, with data in the same folder only.

The rules are those of https://onnx.ai/onnx/repo-docs/Security.html, applied before a runtime opens
the file. A graph is a program all the same, and is run in a child process.
"""

import mmap
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from slipway.errors import SourceRefused

_DOMAINS = ("", "ai.onnx", "com.microsoft")
#: Operators that run Python or PyTorch, or load a compiled program.
_FOREIGN = ("ATen", "ATenGrad", "EPContext", "PyCustomOp", "PyOp", "PythonOp", "PythonOpGrad")
#: A model of 80 layers that nothing fused has 20,000 nodes, and 30 fields a node.
_MAX_NODES = 100_000
_MAX_FIELDS = 2_000_000
_MAX_DIGITS = 18
_VARINT, _FIXED_64, _LENGTH, _FIXED_32 = 0, 1, 2, 5  # kinds of values
_SEVEN_BITS = 0x7F  # a byte has seven bits of a number, and one that says whether more follow

_NO_GRAPH = "not an ONNX graph, or cut short"
_FETCH_AGAIN = "fetch or build it again"
_BUILDER = "use a graph that the builder of onnxruntime-genai wrote"


def check(files: dict[str, Path]) -> dict[str, int]:
    """Check every graph of a source, and that each data file belongs to one of them.

    Args:
        files: All files of the source, by relative path.

    Returns:
        Nodes of each quantized kind, such as ``{"MatMulNBits int8 block 32 level 4": 211}``; empty
        for float graphs. They are counted, since neither a name nor a recipe proves anything. A
        ``GatherBlockQuantized`` that reads the weights of a matrix product is ``tied``.

    Raises:
        SourceRefused: With the file and the rule that it breaks.
    """
    graphs = {name: path for name, path in files.items() if path.suffix == ".onnx"}
    quantized, used = Counter[str](), set[Path]()
    for name, path in graphs.items():
        _require_few_fields(name, path)
        model = _load(name, path)
        _check_nodes(name, model)
        quantized.update(_quantized(model))
        used |= {_check_data(name, path.parent, tensor) for tensor in _external(model)}
    for name, path in files.items():
        if path.suffix == ".data" and path not in used:
            raise SourceRefused(name, "no graph in its folder refers to it", "remove it")
    return dict(sorted(quantized.items()))


def _require_few_fields(name: str, path: Path) -> None:
    """Count nodes and fields in the bytes, where each takes two or more and not hundreds.

    Source: https://protobuf.dev/programming-guides/encoding/
    """
    import onnx

    fields = nodes = 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        waiting = [(0, len(data), onnx.ModelProto.DESCRIPTOR)]
        while waiting and fields <= _MAX_FIELDS and nodes <= _MAX_NODES:
            position, end, kind = waiting.pop()
            inner = _messages(kind)
            while position < end and fields <= _MAX_FIELDS and nodes <= _MAX_NODES:
                fields += 1
                try:
                    number, length, position = _field(data, position)
                except ValueError as error:
                    raise SourceRefused(name, _NO_GRAPH, _FETCH_AGAIN) from error
                if message := inner.get(number):
                    nodes += message is onnx.NodeProto.DESCRIPTOR
                    if length:
                        waiting.append((position, min(position + length, end), message))
                position += length
    if nodes > _MAX_NODES:
        raise SourceRefused(name, f"it has more than {_MAX_NODES:,} nodes", _BUILDER)
    if fields > _MAX_FIELDS:
        raise SourceRefused(name, f"it has more than {_MAX_FIELDS:,} fields", _BUILDER)


@cache
def _messages(kind: Any) -> dict[int, Any]:
    """Return the message of each field of a message that holds one, by the field's number."""
    return {field.number: field.message_type for field in kind.fields if field.message_type}


def _field(data: mmap.mmap, position: int) -> tuple[int, int, int]:
    """Return the number of a field, the length of its value in bytes, and where that begins.

    Raises:
        ValueError: If it is cut short, or of another kind: a group may hide what follows.
    """
    try:
        tag, position = _varint(data, position)
        if tag & 7 == _LENGTH:
            return tag >> 3, *_varint(data, position)
        if tag & 7 == _VARINT:
            return 0, 0, _varint(data, position)[1]
        return 0, {_FIXED_64: 8, _FIXED_32: 4}[tag & 7], position
    except LookupError as error:
        raise ValueError("no field of a graph") from error


def _varint(data: mmap.mmap, position: int) -> tuple[int, int]:
    """Return the number at a position, and the position behind it."""
    number = data[position] & _SEVEN_BITS
    shift = 0
    while data[position] > _SEVEN_BITS:
        position += 1
        shift += 7
        number |= (data[position] & _SEVEN_BITS) << shift
    return number, position + 1


def _load(name: str, path: Path) -> Any:
    """Return the graph without its data."""
    import onnx

    try:
        model = onnx.load(path, format="protobuf", load_external_data=False)
    except Exception as error:  # protobuf raises many kinds
        raise SourceRefused(name, _NO_GRAPH, _FETCH_AGAIN) from error
    if not model.graph.node:
        raise SourceRefused(name, "a graph without a node", _FETCH_AGAIN)
    return model


def _check_nodes(name: str, model: Any) -> None:
    bodies = tuple(_bodies(model))
    imports = (
        *model.opset_import,
        *(each for body in model.functions for each in body.opset_import),
    )
    nodes = [node for body in bodies for node in body.node]
    used = {opset.domain for opset in imports} | {
        each.domain for each in (*nodes, *model.functions)
    }
    for domain in sorted(used - set(_DOMAINS)):
        raise SourceRefused(name, f"operators of {ascii(domain)[:80]} are not allowed", _BUILDER)
    for operator in sorted({node.op_type for node in nodes} & set(_FOREIGN)):
        raise SourceRefused(name, f"its operator {operator} runs foreign code", _BUILDER)


def _quantized(model: Any) -> Iterator[str]:
    nodes = model.graph.node
    multiplied = {name for node in nodes if node.op_type == "MatMulNBits" for name in node.input}
    reshaped = {node.output[0]: node.input[0] for node in nodes if node.op_type == "Reshape"}
    for node in nodes:
        values = {each.name: each.i for each in node.attribute}
        kind = f"{node.op_type} int{values.get('bits', 4)} block {values.get('block_size', 0)}"
        if node.op_type == "MatMulNBits":
            yield f"{kind} level {values.get('accuracy_level', 0)}"
        elif node.op_type == "GatherBlockQuantized":
            tied = reshaped.get(node.input[0], node.input[0]) in multiplied
            yield f"{kind}{' tied' * tied}"


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
