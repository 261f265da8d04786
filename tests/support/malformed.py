"""Repositories that are not allowed: each is a good one with a single fault."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support import tiny_artifact

#: Changes the files of a folder.
Damage = Callable[[Path], object]
#: A damage, the file that is refused for it, and a piece of the rule that is named.
Case = tuple[Damage, str, str]

TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
)
TENSOR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def write_checkpoint(folder: Path) -> None:
    """Write a checkpoint of two numbers that breaks no rule."""
    _write_texts(folder)
    (folder / "config.json").write_text('{"architectures": ["Phi3ForCausalLM"]}', encoding="utf-8")
    safetensors("model.safetensors", {"weight": TENSOR})(folder)


def write_artifact(folder: Path) -> None:
    """Write an ONNX artifact of one node that breaks no rule."""
    _write_texts(folder)
    text = json.dumps(tiny_artifact.config(), indent=4)
    (folder / "genai_config.json").write_text(text, encoding="utf-8")
    (folder / "model.onnx").write_bytes(tiny_artifact.graph().SerializeToString())
    (folder / "model.onnx.data").write_bytes(
        bytes(range(256)) * (tiny_artifact.WEIGHTS_BYTES // 256)
    )


def file(name: str, content: str | bytes) -> Damage:
    """Put a file there, or other content into one."""

    def damage(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return damage


def safetensors(name: str, header: object, data: bytes = bytes(8)) -> Damage:
    """Write a safetensors file with this header, be it true or not."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return file(name, struct.pack("<Q", len(text)) + text + data)


def index(name: str, places: object) -> Damage:
    """Write an index that names the file of each tensor."""
    return file(name, json.dumps({"metadata": {}, "weight_map": places}))


def without(name: str) -> Damage:
    """Take a file away."""
    return lambda folder: (folder / name).unlink()


def cut(name: str, size_bytes: int) -> Damage:
    """Keep the first bytes of a file."""
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size_bytes])


def config(place: str, value: object) -> Damage:
    """Set one field of ``genai_config.json``, such as ``model.decoder.filename``."""

    def damage(folder: Path) -> None:
        path = folder / "genai_config.json"
        document = json.loads(path.read_bytes())
        *outer, last = place.split("/")
        inner = document
        for key in outer:
            inner = inner.setdefault(key, {})
        inner[last] = value
        path.write_text(json.dumps(document), encoding="utf-8")

    return damage


def respelled(old: str, new: str) -> Damage:
    """Replace a piece of the text of ``genai_config.json``."""

    def damage(folder: Path) -> None:
        path = folder / "genai_config.json"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return damage


def graph(change: Callable[[Any], object]) -> Damage:
    """Change the graph."""

    def damage(folder: Path) -> None:
        model = tiny_artifact.graph()
        change(model)
        (folder / "model.onnx").write_bytes(model.SerializeToString())

    return damage


def merged(content: bytes) -> Damage:
    """Add fields to the graph: of two messages in one place, a parser makes one."""

    def damage(folder: Path) -> None:
        with (folder / "model.onnx").open("ab") as opened:
            opened.write(b"\x3a" + varint(len(content)) + content)

    return damage


def varint(number: int) -> bytes:
    """Return a number as Protocol Buffers write it."""
    head, rest = number & 0x7F, number >> 7
    return bytes([head | 0x80]) + varint(rest) if rest else bytes([head])


def data(location: str, offset: object = 0, length: object = 512) -> Damage:
    """Move the weights of the graph to another place."""
    return graph(
        lambda model: tiny_artifact.refer(model.graph.initializer[0], location, offset, length)
    )


def node(operator: str, domain: str = "") -> Damage:
    """Add a node to the graph."""
    return graph(lambda model: model.graph.node.add(op_type=operator, domain=domain, output=["x"]))


def hidden_node(operator: str, domain: str) -> Damage:
    """Add a node to a graph within a graph within the graph."""

    def change(model: Any) -> None:
        body = model.graph
        for _ in range(2):
            outer = body.node.add(op_type="Loop", output=["x"])
            attribute = outer.attribute.add(name="body", type=5)  # a graph
            body = attribute.g
        body.node.add(op_type=operator, domain=domain, output=["y"])

    return graph(change)


def template(text: str) -> Damage:
    """Set the chat template."""
    return file("chat_template.jinja", text)


def both(*damages: Damage) -> Damage:
    """Do one after the other."""

    def damage(folder: Path) -> None:
        for each in damages:
            each(folder)

    return damage


def _write_texts(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_text("{}", encoding="utf-8")
    (folder / "LICENSE").write_text("Do as you like.", encoding="utf-8")
