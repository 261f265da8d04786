"""The lengths at which a checkpoint computes otherwise: its windows, its rope, its context."""

from pathlib import Path
from typing import Any

from slipway.values import Value

#: Models all of whose layers have the window, whatever else their configuration lists. Any other
#: model lists the layers that have it; transformers ignores a window that no layer is listed for.
_WINDOW_IN_EVERY_LAYER = ("mistral", "phi3")
#: The longest sequence that onnxruntime-genai computes with LongRoPE's short factors: the only
#: length at which it computes its cache anew for the long ones.
RUNTIME_ROPE_SWITCH = 4096
#: Context of a model that names none.
_CONTEXT = 512


class Lengths(Value):
    """Lengths in tokens, as transformers reads a configuration.

    Attributes:
        context: The longest sequence.
        window: What a layer with a sliding window sees; None if no layer has one that is shorter
            than the context.
        windowed: For each layer, whether it has that window.
        rope_switch: The longest sequence that LongRoPE computes with its short factors; None if
            all sequences have the same rope.
    """

    context: int
    window: int | None
    windowed: tuple[bool, ...]
    rope_switch: int | None


def read(folder: Path) -> Lengths:
    """Return the lengths of the checkpoint in ``folder``."""
    from transformers import AutoConfig

    whole = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    config = whole.get_text_config()
    context = getattr(config, "max_position_embeddings", None) or _CONTEXT
    windowed = _windowed(config, context)
    rope = getattr(config, "rope_parameters", None) or {}
    is_long = rope.get("rope_type") == "longrope"
    switch = rope["original_max_position_embeddings"] if is_long else context
    return Lengths(
        context=context,
        window=config.sliding_window if any(windowed) else None,
        windowed=windowed,
        rope_switch=switch if switch < context else None,
    )


def runtime_rope_switch(model_type: str | None) -> int | None:
    """Return where onnxruntime-genai switches the factors of an artifact; None if it never does.

    Args:
        model_type: The field ``type`` of its ``genai_config.json``.
    """
    return RUNTIME_ROPE_SWITCH if model_type == "phi3" else None


def _windowed(config: Any, context: int) -> tuple[bool, ...]:
    layers = int(config.num_hidden_layers)
    window = getattr(config, "sliding_window", None)
    if not window or window >= context:
        return (False,) * layers
    if config.model_type in _WINDOW_IN_EVERY_LAYER:
        return (True,) * layers
    kinds = getattr(config, "layer_types", None) or [""] * layers
    return tuple(kind == "sliding_attention" for kind in kinds)
