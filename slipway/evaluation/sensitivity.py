"""How much each group of layers costs in int4: the divergence of that group alone.

The source itself is read, with the weights of one group at a time rounded as int4 rounds them, so
nothing has to be built. What is measured orders the groups; artifacts are then built and compared.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from slipway.build.products import Product
from slipway.evaluation import logits
from slipway.system.progress import report
from slipway.values import Value

#: Most groups: layers that follow each other share one where there are more.
_MOST_GROUPS = 32
#: The part of each of so many texts that is read.
_TEXTS, _TOKENS = 4, 48
_LEVELS = 15  # between the least and the largest of a block in int4
_NODE = re.compile(r"/model/layers\.(\d+)/(\w+)/(\w+)/MatMul")
#: The largest errors come from what is multiplied after the activation, so that is apart.
_KINDS = ("attn", "mlp", "down_proj")
_HEAD = "lm_head"


class Group(Value):
    """Products that get one precision.

    Attributes:
        name: Such as ``layers 4-5 attn`` or ``lm_head``.
        layers: The first layer and the one behind the last; both 0 for the output layer.
        kind: ``attn``, ``mlp`` without its last product, ``down_proj`` or ``lm_head``.
    """

    name: str
    layers: tuple[int, int]
    kind: str
    nodes: tuple[str, ...]
    weights: int


class SensitivityRequest(Value):
    """A checkpoint, the folder with its reading, the groups, and the size of a block."""

    weights: Path
    reading: Path
    groups: tuple[Group, ...]
    block_size: int


def groups(products: tuple[Product, ...]) -> tuple[Group, ...]:
    """Return the groups of an artifact's products; a product of unknown name is in none."""
    places = {each.node: _place(each.node) for each in products}
    count = max((place[0] for place in places.values() if place), default=0) + 1
    together = -(-count * len(_KINDS) // _MOST_GROUPS)
    found: dict[tuple[int, str], list[Product]] = {}
    for each in products:
        if place := places[each.node]:
            found.setdefault((place[0] // together, place[1]), []).append(each)
    return tuple(
        _group(first * together, min(count, (first + 1) * together), kind, several)
        for (first, kind), several in found.items()
    )


def measure(request: SensitivityRequest) -> dict[str, float]:
    """Return the mean divergence from the source, in nats, that each group causes in int4 alone."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        request.weights, dtype=torch.float32, local_files_only=True, trust_remote_code=False
    )
    token_ids = torch.tensor(_subset(request.reading))
    with torch.inference_mode():
        source = _log_probabilities(model, token_ids)
        costs = {}
        for place, group in enumerate(request.groups, start=1):
            matrices = [*_matrices(model, group)]
            kept = [each.clone() for each in matrices]
            for each in matrices:
                each.copy_(_rounded(each, request.block_size))
            rounded = _log_probabilities(model, token_ids)
            costs[group.name] = float((source.exp() * (source - rounded)).sum(-1).mean())
            for each, before in zip(matrices, kept, strict=True):
                each.copy_(before)
            report(place / len(request.groups), f"{group.name}: {costs[group.name]:.4f} nats")
    return costs


def _place(node: str) -> tuple[int, str] | None:
    if node == f"/{_HEAD}/MatMul":
        return 0, _HEAD
    found = _NODE.fullmatch(node)
    if found is None or found[2] not in _KINDS:
        return None
    return int(found[1]), found[3] if found[3] in _KINDS else found[2]


def _group(first: int, behind: int, kind: str, products: list[Product]) -> Group:
    layers = (0, 0) if kind == _HEAD else (first, behind)
    numbers = f"{first}" if behind - first == 1 else f"{first}-{behind - 1}"
    return Group(
        name=_HEAD if kind == _HEAD else f"layers {numbers} {kind}",
        layers=layers,
        kind=kind,
        nodes=tuple(each.node for each in products),
        weights=sum(each.weights for each in products),
    )


def _subset(reading: Path) -> Any:
    """Return the beginnings of some of the texts, of all kinds; shape (texts, tokens)."""
    texts = list(logits.load_sequences(reading))
    tokens = min(_TOKENS, max(map(len, texts)))
    long = [each for each in texts if len(each) >= tokens]
    chosen = long[:: max(1, len(long) // _TEXTS)][:_TEXTS]
    return np.stack([each[-tokens:] for each in chosen]).astype(np.int64)


def _log_probabilities(model: Any, token_ids: Any) -> Any:
    return model(token_ids, use_cache=False).logits.log_softmax(-1)


def _matrices(model: Any, group: Group) -> Iterator[Any]:
    """Yield the weights that the group's products have in the source."""
    import torch

    if group.kind == _HEAD:
        yield model.get_output_embeddings().weight
        return
    for layer in model.base_model.layers[slice(*group.layers)]:
        block = layer.self_attn if group.kind == "attn" else layer.mlp
        for name, each in block.named_modules():
            is_down = name == "down_proj"
            if isinstance(each, torch.nn.Linear) and is_down == (group.kind == "down_proj"):
                yield each.weight


def _rounded(matrix: Any, block_size: int) -> Any:
    """Return a matrix as int4 keeps it: sixteen values between the ends of every block."""
    rows, columns = matrix.shape
    padded = matrix.new_zeros(rows, -(-columns // block_size) * block_size)
    padded[:, :columns] = matrix
    blocks = padded.view(rows, -1, block_size)
    least = blocks.amin(-1, keepdim=True).clamp(max=0)
    scale = ((blocks.amax(-1, keepdim=True).clamp(min=0) - least) / _LEVELS).clamp(min=1e-12)
    offset = (-least / scale).round()
    kept = ((blocks / scale).round() + offset).clamp(0, _LEVELS)
    return ((kept - offset) * scale).view(rows, -1)[:, :columns]
