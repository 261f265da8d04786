"""The adapter of onnxruntime-genai's builder: a checkpoint becomes an ONNX artifact."""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Self

from pydantic import model_validator

from slipway.build import calibrated, tied
from slipway.errors import SourceRefused, StepCrashed
from slipway.sources import lengths
from slipway.sources.lengths import RUNTIME_ROPE_SWITCH, Lengths
from slipway.system.progress import printed_lines, report
from slipway.values import Calibration, Quantization, Value

#: Most tokens of an artifact's search when its caller sets no limit. By default, the builder writes
#: the whole context length, for which a runtime allocates memory at once.
_MAX_LENGTH = 2048


class BuildRequest(Value):
    """A checkpoint in transformers' layout, an empty folder for its artifact, and how.

    Attributes:
        calibration: What the method ``gptq`` reads; None for others.
    """

    weights: Path
    into: Path
    quantization: Quantization
    calibration: Calibration | None = None

    @model_validator(mode="after")
    def _is_calibrated(self) -> Self:
        if (self.quantization.method == "gptq") != (self.calibration is not None):
            raise ValueError("gptq needs calibration texts, and nothing else does")
        return self


def build(request: BuildRequest) -> None:
    """Build the artifact, with the builder's structured configuration, and calibrate it if asked.

    The structured configuration is validated; of the older ``key=value`` options, several are
    ignored silently. See https://onnxruntime.ai/docs/genai/howto/build-model.html.

    Raises:
        SourceRefused: If the runtime would compute long sequences otherwise than transformers.
    """
    scratch, room = (request.into.parent / name for name in ("builder-cache", "builder-input"))
    weights = _prepared(request.weights, room)
    from onnxruntime_genai.models.builder import create_model, parse_extra_options

    _leave_out_rope_by_layer()
    precision = request.quantization.precision
    place = (None, str(weights), str(request.into), precision, "cpu", str(scratch))
    options = parse_extra_options(
        *place,
        ["hf_token=false"],
        builder_config_version=2,
        target_options=_target(request.quantization),
        drafter_options=None,
        speculative_options=None,
        runtime_config={"search": {"max_length": _max_length(weights)}},
        search=None,
    )
    with printed_lines(partial(_read_line, layers=layers(weights))):
        create_model(*place, **options)
    if request.quantization.embeddings == "tied" and precision == "int8":
        report(0.9, "tying the embeddings")
        tied.tie(request.into)
    if request.calibration:
        calibrated.calibrate(request.into, request.weights, request.calibration)
    for folder in (scratch, room):
        shutil.rmtree(folder, ignore_errors=True)


def require_as_asked(built: Mapping[str, int], asked: Quantization, log: str) -> None:
    """Check that the builder quantized all of the graph, in the requested way.

    Args:
        built: The nodes of each quantized kind; see ``slipway.validation.onnx_graphs.check``.
        asked: The recipe.
        log: Where to look, for the error.

    Raises:
        StepCrashed: With what the graph holds instead.
    """
    if asked.precision == "fp32":
        as_asked = not built
    else:
        products = [name for name in built if name.startswith("MatMulNBits")]
        gathers = [name for name in built if name not in products]
        as_asked = _has_products(products, asked) and _has_embeddings(gathers, asked)
    if not as_asked:
        reason = f"asked for {asked.variant}, and the graph holds {built or 'nothing quantized'}"
        raise StepCrashed("build", reason, log)


def _has_products(built: list[str], asked: Quantization) -> bool:
    """Return whether the products have the precision that was asked for, and those of groups."""
    wanted = f"MatMulNBits {asked.precision} block {asked.block_size} "
    other = f"MatMulNBits {asked.other_precision} "
    others = {f"MatMulNBits {each.precision} " for each in asked.overrides}
    others |= {other} if asked.mixed else set()
    if asked.mixed and not any(name.startswith(other) for name in built):
        return False
    strange = [name for name in built if not name.startswith((wanted, *others))]
    fitting = any(name.startswith(wanted) for name in built)
    return fitting and (asked.method == "k_quant" or not strange)


def _has_embeddings(built: list[str], asked: Quantization) -> bool:
    """Return whether the embeddings are quantized if they are tied, and only then."""
    if asked.embeddings != "tied":
        return not built
    return len(built) == 1 and built[0].endswith(" tied")


def layers(weights: Path) -> int:
    """Return the number of layers of a checkpoint; 1 if its configuration does not say."""
    return _configured(weights, "num_hidden_layers", 1)


def _read_line(line: str, layers: int) -> None:
    """Report what the builder prints; it has no other way to tell its progress."""
    if found := re.match(r"Reading (?:decoder )?layer (\d+)", line):
        layer = int(found[1]) + 1
        report(0.1 + 0.6 * layer / layers, f"layer {layer}/{layers}")
    elif line.startswith("Saving ONNX model"):
        report(0.8, "quantizing and saving the graph")


def _prepared(weights: Path, room: Path) -> Path:
    """Return the checkpoint with a configuration that the builder reads as transformers does.

    The builder of onnxruntime-genai 0.18 declares a window wherever the configuration names one,
    and finds the layers that have it in ``layer_types``, which some configurations lack. Layers
    with a window that they do not declare crash at run time beyond it, and so do layers whose
    window is longer than the context.
    """
    found = lengths.read(weights)
    _require_known_switch(found)
    config = json.loads((weights / "config.json").read_bytes())
    room.mkdir()
    for path in weights.iterdir():
        (room / path.name).symlink_to(path.resolve())
    (room / "config.json").unlink()
    kinds = ["sliding_attention" if each else "full_attention" for each in found.windowed]
    text = json.dumps(config | {"sliding_window": found.window, "layer_types": kinds})
    (room / "config.json").write_text(text, encoding="utf-8")
    return room


def _require_known_switch(found: Lengths) -> None:
    if found.rope_switch not in (None, RUNTIME_ROPE_SWITCH):
        rule = f"its LongRoPE switches factors at {found.rope_switch:,} tokens"
        remedy = f"use a model that switches at {RUNTIME_ROPE_SWITCH:,}, as onnxruntime-genai does"
        raise SourceRefused("config.json", rule, remedy)


def _leave_out_rope_by_layer() -> None:
    """Build SmolLM3's layers without positions.

    The builder of onnxruntime-genai 0.18 turns off only the rope within the attention operator, and
    then asks for position ids for a rope before it, which the graph does not have.
    """
    model = import_module("builders.smollm").SmolLM3Model  # the builder's own, on its own path
    make = model.make_attention

    def make_attention(self: Any, layer: int, *given: Any, **named: Any) -> None:
        self.attention_attrs["rope"] = bool(self.no_rope_layers[layer])
        make(self, layer, *given, **named)
        self.attention_attrs["rope"] = True

    model.make_attention = make_attention


def _target(quantization: Quantization) -> dict[str, object] | None:
    if quantization.precision == "fp32":
        return None
    weights: dict[str, object] = {
        "type": quantization.precision,
        "block_size": quantization.block_size,
        "method": "rtn" if quantization.method == "gptq" else quantization.method,
        "symmetric": quantization.symmetric,
    }
    if quantization.accuracy_level is not None:
        weights["accuracy_level"] = quantization.accuracy_level
    if quantization.embeddings == "tied" and quantization.precision == "int4":
        weights["op_types"] = ["MatMul", "Gather"]  # the checkpoint's configuration ties them
    if overrides := [*_overrides(quantization)]:
        weights["overrides"] = overrides
    return {"quant_config": {"weights": weights}}


def _overrides(quantization: Quantization) -> Iterator[dict[str, object]]:
    for each in quantization.overrides:
        yield {"match": {"name": each.node}, "type": each.precision}
    for group in quantization.mixed:
        yield {"match": {"preset": group}, "type": quantization.other_precision}


def _max_length(weights: Path) -> int:
    return min(_MAX_LENGTH, _configured(weights, "max_position_embeddings", _MAX_LENGTH))


def _configured(weights: Path, field: str, default: int) -> int:
    return int(json.loads((weights / "config.json").read_bytes()).get(field) or default)


#: Memory of a build as a multiple of the weights' bytes in bfloat16, measured with
#: onnxruntime-genai 0.18 on a model of 494 million parameters; gptq took 7.6 on one of 135 million.
_BUILD_MEMORY = {"rtn": 6.0, "k_quant": 9.0, "gptq": 9.0}


def build_memory_bytes(choice: Quantization, parameters: int) -> int:
    """Return the approximate peak memory of the builder."""
    return int(_BUILD_MEMORY[choice.method] * 2 * parameters)
