"""Runs a checkpoint layer by layer, and lets its matrices be replaced on the way."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slipway.values import Text

Floats = NDArray[np.floating[Any]]
#: Takes a product's name, its matrix (rows, columns), and the sum of x xᵀ over its inputs x; gives
#: another matrix.
Replace = Callable[[str, Floats, Floats], Floats]

_TOKENS = 512  # most of a text
#: Modules of transformers that have the matrix of a product together, each with its share, where
#: no module has its name.
_PARTS = {
    "qkv_proj": ("q_proj", "k_proj", "v_proj"),
    "gate_up_proj": ("gate_proj", "up_proj"),
}
_HALVES = {"gate_proj": 0, "up_proj": 1}  # of ``gate_up_proj``


class _Linear(NamedTuple):
    """A product's module, which shows its inputs, and its matrix as views of weights."""

    module: Any
    views: tuple[Any, ...]

    @property
    def matrix(self) -> Floats:
        """A copy of the matrix; shape (rows, columns)."""
        import torch

        matrix: Floats = torch.cat(self.views).numpy()
        return matrix

    def write(self, matrix: Floats) -> None:
        """Write another matrix of the same shape into the weights."""
        import torch

        parts = torch.split(torch.from_numpy(matrix), [len(view) for view in self.views])
        for view, part in zip(self.views, parts, strict=True):
            view.copy_(part)


def replace_matrices(
    folder: Path, texts: Sequence[Text], products: Mapping[int, Sequence[str]], replace: Replace
) -> None:
    """Run a checkpoint on texts, and replace the matrices of each layer before the next one reads.

    So each layer reads what the replaced layers before it give. The folder stays as it is.

    Args:
        folder: In transformers' layout.
        texts: What is read, up to 512 tokens of each.
        products: By number of the layer, such as ``self_attn.o_proj``.
        replace: Called once for each product; its name begins with the layer's number and a dot.

    Raises:
        AttributeError: If a layer has no such product.
    """
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False
    ).eval()
    with torch.inference_mode():
        inputs = [_layer_inputs(model.base_model, each) for each in _token_ids(folder, texts)]
        hidden = [each[0][0] for each in inputs]
        for number, layer in enumerate(model.base_model.layers):
            given = [(states, each[number][1]) for states, each in zip(hidden, inputs, strict=True)]
            linear = {name: _linear(layer, name) for name in products.get(number, ())}
            squares = _squares(layer, linear, given)
            for name, each in linear.items():
                each.write(replace(f"{number}.{name}", each.matrix, squares[name]))
            hidden = [_run(layer, *each) for each in given]


def _token_ids(folder: Path, texts: Sequence[Text]) -> Iterator[Any]:
    """Yield every text as token ids; shape (1, tokens)."""
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    for text in texts:
        if text.messages and tokenizer.chat_template:
            messages = [each.model_dump() for each in text.messages]
            encoded = tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, return_dict=True
            )
        else:
            encoded = tokenizer(text.content or "\n\n".join(each.content for each in text.messages))
        yield torch.tensor([encoded["input_ids"][:_TOKENS]])


def _layer_inputs(model: Any, token_ids: Any) -> list[tuple[Any, dict[str, Any]]]:
    """Return what every layer is given for a text: arguments by name, and the first its states."""
    found: list[tuple[Any, dict[str, Any]]] = []

    def keep(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        found.append((None if found else given[0], named))

    hooks = [each.register_forward_pre_hook(keep, with_kwargs=True) for each in model.layers]
    model(token_ids, use_cache=False)
    for hook in hooks:
        hook.remove()
    return found


def _run(layer: Any, hidden: Any, named: dict[str, Any]) -> Any:
    given = layer(hidden, **named)
    return given[0] if isinstance(given, tuple) else given


def _linear(layer: Any, name: str) -> _Linear:
    """Return where a layer has a product, which may be a part of a module, or several modules."""
    block, _, short = name.partition(".")
    modules = dict(layer.get_submodule(block).named_children())
    if short in modules:
        return _Linear(modules[short], (modules[short].weight,))
    if short in _PARTS:
        parts = [modules[each] for each in _PARTS[short] if each in modules]
        if len(parts) == len(_PARTS[short]):
            return _Linear(parts[0], tuple(each.weight for each in parts))
    if short in _HALVES and "gate_up_proj" in modules:
        both = modules["gate_up_proj"]
        return _Linear(both, (both.weight.chunk(2)[_HALVES[short]],))
    raise AttributeError(f"a layer has no {name}")


def _squares(layer: Any, linear: Mapping[str, _Linear], inputs: Iterable[Any]) -> dict[str, Floats]:
    """Return by product the sum of x xᵀ over its inputs x; shape (columns, columns)."""
    found: dict[str, Any] = {}

    def keep(name: str, given: tuple[Any, ...]) -> None:
        rows = given[0].reshape(-1, given[0].shape[-1])
        found[name] = found.get(name, 0) + rows.T @ rows

    hooks = [
        each.module.register_forward_pre_hook(lambda _, given, name=name: keep(name, given))
        for name, each in linear.items()
    ]
    for each in inputs if linear else ():
        _run(layer, *each)
    for hook in hooks:
        hook.remove()
    return {name: each.numpy() for name, each in found.items()}
