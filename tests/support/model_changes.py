"""How a model that is ready to be released is changed, for better or worse.

A plant changes a copy of the fp32 artifact, or the code of its wrapper, and names the gates and
checks that are there to catch it. One without such a name is harmless.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.tiny_phi3 import BEGIN, VOCABULARY_SIZE
from tests.support.two_wrappers import WRAPPER

Change = Callable[[Path], object]

DOWN = "model.layers.1.mlp.down_proj.MatMul.weight"
HEAD = "lm_head.MatMul.weight"
EMBEDDING = "model.embed_tokens.weight"
PADDED_TO = 328  # tokens, of which the tokenizer knows fewer
KNOWN_TOKENS = 294  # of the tokenizer; the rows behind them are padding
PADDING = VOCABULARY_SIZE - 1  # a token that the tokenizer does not know


@dataclass(frozen=True)
class Plant:
    """One change.

    Attributes:
        name: What is changed.
        caught_by: The gates and checks that are meant for it; none if it is harmless.
        change: Changes a copy of the artifact's folder.
        code: Python that replaces a part of the wrapper.
    """

    name: str
    caught_by: tuple[str, ...] = ()
    change: Change = field(default=lambda _folder: None)
    code: str = ""

    def write_wrapper(self, folder: Path) -> Path:
        """Return the wrapper's code with this change, written into ``folder`` if there is one."""
        if not self.code:
            return WRAPPER
        start = "set_model(OnnxGenaiModel())"
        text = WRAPPER.read_text(encoding="utf-8")
        folder.mkdir()
        (folder / WRAPPER.name).write_text(text.replace(start, f"{self.code}\n{start}"), "utf-8")
        return folder / WRAPPER.name


def tensor(folder: Path, name: str) -> Any:
    """Return the weights of that name as they lie on the disk, to be changed in place."""
    import onnx

    graph = onnx.load(folder / "model.onnx", load_external_data=False).graph
    found = next(each for each in graph.initializer if each.name == name)
    place = {entry.key: entry.value for entry in found.external_data}
    data, offset, shape = folder / "model.onnx.data", int(place["offset"]), tuple(found.dims)
    return np.memmap(data, dtype="<f4", mode="r+", offset=offset, shape=shape)


def weights(name: str, change: Callable[[Any], object]) -> Change:
    """Change weights of one name."""

    def apply(folder: Path) -> None:
        numbers = tensor(folder, name)
        change(numbers)
        numbers.flush()

    return apply


def flip(numbers: Any) -> None:
    """Invert 64 bytes in a row."""
    numbers.reshape(-1).view(np.uint8)[4096:4160] ^= 0xFF


def put(where: Any, number: float) -> Callable[[Any], None]:
    """Set what lies at ``where``."""

    def change(numbers: Any) -> None:
        numbers[where] = number

    return change


def swap(one: int, other: int) -> Callable[[Any], None]:
    """Let two tokens change places."""

    def change(numbers: Any) -> None:
        numbers[:, [one, other]] = numbers[:, [other, one]]

    return change


def turn(numbers: Any) -> None:
    """Change every sign."""
    numbers *= -1


def soften(numbers: Any) -> None:
    """Let every token be less sure, which the tiny model is too much on unknown texts."""
    numbers *= 0.94


def shout(numbers: Any) -> None:
    """Let a token that nobody knows be likelier than the end of a turn, wherever that is likely."""
    numbers[:, PADDING] = 3 * numbers[:, 5]


def echo(numbers: Any) -> None:
    """Let every token that nobody knows be nearly as likely as the end of a turn."""
    numbers[:, KNOWN_TOKENS:] = 0.98 * numbers[:, [5]]


def shiver(numbers: Any) -> None:
    """Add noise of a ten-millionth."""
    noise = np.random.default_rng(0).standard_normal(numbers.shape)
    numbers += 1e-7 * noise.astype(np.float32)


def write(name: str, text: str) -> Change:
    """Write a text file anew."""
    return lambda folder: (folder / name).write_text(text, encoding="utf-8")


def edit(name: str, change: Callable[[Any], object], *, indent: int | None = None) -> Change:
    """Change a JSON file."""

    def apply(folder: Path) -> None:
        document = json.loads((folder / name).read_bytes())
        change(document)
        text = json.dumps(document, indent=indent, ensure_ascii=indent is None, sort_keys=True)
        (folder / name).write_text(text, encoding="utf-8")

    return apply


def together(*changes: Change) -> Change:
    """Make several changes."""

    def apply(folder: Path) -> None:
        for change in changes:
            change(folder)

    return apply


def add_begin(tokenizer: Any) -> None:
    """Let the tokenizer put its BOS before every text, as Llama's does."""
    piece = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing",
        "single": piece,
        "pair": [*piece, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [BEGIN], "tokens": ["<s>"]}},
    }


def pad_file(folder: Path) -> None:
    """Blow the file of the weights up."""
    with (folder / "model.onnx.data").open("ab") as file:
        file.write(bytes(200_000))


def truncate(folder: Path) -> None:
    """Lose the end of the file of the weights."""
    data = folder / "model.onnx.data"
    data.write_bytes(data.read_bytes()[:300_000])


def rename(folder: Path) -> None:
    """Call graph and weights otherwise."""
    import onnx

    model = onnx.load(folder / "model.onnx")
    _save(model, folder, "phi3-cpu.onnx")
    edit("genai_config.json", lambda c: c["model"]["decoder"].update(filename="phi3-cpu.onnx"))(
        folder
    )


def pad_vocabulary(folder: Path) -> None:
    """Add rows for tokens that there are not, each like one that there is not either."""
    import onnx

    model = onnx.load(folder / "model.onnx")
    for each in model.graph.initializer:
        if each.name in {HEAD, EMBEDDING}:
            rows, axis = onnx.numpy_helper.to_array(each), int(each.name == HEAD)
            padding = np.repeat(rows.take([PADDING], axis), PADDED_TO - VOCABULARY_SIZE, axis)
            numbers = np.concatenate([rows, padding], axis)
            each.CopyFrom(onnx.numpy_helper.from_array(numbers, each.name))
    logits = next(each for each in model.graph.output if each.name == "logits")
    logits.type.tensor_type.shape.dim[2].dim_value = PADDED_TO
    known = [each for each in model.graph.value_info if "lm_head" not in each.name]
    del model.graph.value_info[:]
    model.graph.value_info.extend(known)
    _save(model, folder, "model.onnx")
    edit("genai_config.json", lambda config: config["model"].update(vocab_size=PADDED_TO))(folder)


def _save(model: Any, folder: Path, name: str) -> None:
    import onnx

    for old in ("model.onnx", "model.onnx.data"):
        (folder / old).unlink()
    onnx.save_model(
        model,
        folder / name,
        save_as_external_data=True,
        location=f"{name}.data",
        size_threshold=1024,
    )


def answering(body: str) -> str:
    """Return code that changes each completion, or what is asked, around the wrapper's own."""
    return f"""
def _changed(self, messages, n=1, **sampling):
    question = messages[-1]["content"]
    chat = lambda: self.chat(messages, n, **sampling)
    {body}
    return completion

OnnxGenaiModel._answers = lambda self, rows: [
    _changed(self, row.pop("messages"), **_supported(row)) for row in rows
]
"""


def predicting(expression: str) -> str:
    """Return code that changes the list of answers to one call."""
    return f"""
_predict = OnnxGenaiModel.predict

def _changed(self, context, model_input, params=None):
    answers = _predict(self, context, model_input, params)
    return {expression}

OnnxGenaiModel.predict = _changed
"""


def saying(expression: str) -> str:
    """Return code that changes the text of each answer."""
    message = 'completion["choices"][0]["message"]'
    return answering(f'completion = chat(); {message}["content"] = {expression}')


def sampling(expression: str) -> str:
    """Return code that changes the text of each answer at a temperature."""
    message = "completion['choices'][0]['message']"
    return answering(
        "completion = chat()\n"
        "    if sampling.get('temperature'):\n"
        f"        {message}['content'] = {expression}"
    )


def counting(**usage: str) -> str:
    """Return code that changes the counts of each answer."""
    changes = ", ".join(f"{name}_tokens={text}" for name, text in usage.items())
    return answering(f'completion = chat(); u = completion["usage"]; u.update({changes})')
