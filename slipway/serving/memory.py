"""How much memory a model needs, and how much its engine may hold."""

import json
import math
from pathlib import Path
from typing import Any

from slipway.errors import MachineTooSmall
from slipway.sources.lengths import runtime_rope_switch
from slipway.system import memory

_BATCH_TOKENS = 1024  # that the ONNX wrapper reads in one native call
_CACHE_SHARE = 0.8  # of the memory that is left; the rest is for activations
_LIBRARY_BYTES = 500_000_000  # the interpreter and the libraries
_SLICE_BYTES = 1_000_000_000  # the tensors of one slice
_PACKED = 2  # the runtime keeps weights in a second form beside the loaded one
_SHARE = 0.9  # of this machine's memory


def limit_bytes(model: Path) -> int:
    """Return the most memory that honest requests can take; at most 90 % of this machine's.

    That is twice the files, the key-value cache of a full context (fp32, which the runtime uses on
    a CPU), the logits of the tokens that are appended at once, and a reserve.

    Args:
        model: The artifact's folder.
    """
    config = _config(model)
    cache = _token_bytes(config) * config["context_length"]
    switch = runtime_rope_switch(config.get("type"))
    at_once = min(switch + 1, config["context_length"]) if switch else 0  # see the ONNX wrapper
    logits = 4 * at_once * config.get("vocab_size", 0)
    needed = loaded_bytes(size_bytes(model)) + cache + logits + _SLICE_BYTES
    return int(min(needed, _SHARE * memory.total_bytes()))


def loaded_bytes(files_bytes: int) -> int:
    """Return the memory of a copy of a model that is loaded, and answers nothing yet.

    Args:
        files_bytes: Size of the model's files.
    """
    return _PACKED * files_bytes + _LIBRARY_BYTES


def size_bytes(folder: Path) -> int:
    """Return the size of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def require_free(what: str, needed_bytes: int, remedy: str) -> None:
    """Check that this machine has room, before anything is started.

    Raises:
        MachineTooSmall: If it has not.
    """
    free = memory.free_bytes()
    if needed_bytes > free:
        raise MachineTooSmall(what, "memory", needed_bytes, free, remedy)


def cache_tokens(model: Path, limit: int, held: int) -> int:
    """Return for how many tokens, of all requests together, the key-value cache has memory.

    Args:
        model: The artifact's folder.
        limit: Most bytes that the engine may hold.
        held: Bytes that it holds once the model is loaded.
    """
    config = _config(model)
    logits = 4 * _BATCH_TOKENS * config.get("vocab_size", 0)
    return max(0, int(_CACHE_SHARE * (limit - held - logits) / max(1, _token_bytes(config))))


def _config(model: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((model / "genai_config.json").read_bytes())["model"]
    return config


def _token_bytes(config: dict[str, Any]) -> int:
    """Return the bytes of one token in the key-value cache."""
    decoder = config["decoder"]
    names = ("num_hidden_layers", "num_key_value_heads", "head_size")
    return 2 * 4 * math.prod(int(decoder.get(name, 0)) for name in names)
