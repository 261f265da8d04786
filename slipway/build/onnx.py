"""The adapter of onnxruntime-genai's builder: a checkpoint becomes an ONNX artifact."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from slipway.errors import StepCrashed
from slipway.system.progress import printed_lines, report
from slipway.values import Quantization, Value

#: Most tokens of an artifact's search when its caller sets no limit. By default, the builder writes
#: the whole context length, for which a runtime allocates memory at once.
_MAX_LENGTH = 2048


class BuildRequest(Value):
    """What to build.

    Attributes:
        weights: A checkpoint in transformers' layout.
        into: An empty folder for the artifact.
        quantization: How.
    """

    weights: Path
    into: Path
    quantization: Quantization


def build(request: BuildRequest) -> None:
    """Build the artifact, with the builder's structured configuration only.

    The structured configuration is validated; of the older ``key=value`` options, several are
    ignored silently. See https://onnxruntime.ai/docs/genai/howto/build-model.html.
    """
    from onnxruntime_genai.models.builder import create_model, parse_extra_options

    scratch, room = (request.into.parent / name for name in ("builder-cache", "builder-input"))
    weights = _with_layer_types(request.weights, room)
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
    for folder in (scratch, room):
        shutil.rmtree(folder, ignore_errors=True)


def nodes(folder: Path) -> dict[str, int]:
    """Count the nodes of each quantized kind in the graphs of an artifact.

    The graphs are read, since neither a folder's name nor the recipe proves anything.

    Returns:
        Counts such as ``{"MatMulNBits int8 block 32 level 4": 211}``; empty for float graphs.
    """
    found = (node for path in sorted(folder.glob("*.onnx")) for node in _quantized(path))
    return dict(sorted(Counter(found).items()))


def require_as_asked(folder: Path, asked: Quantization) -> None:
    """Check that the builder quantized all of the graph, in the requested way.

    Raises:
        StepCrashed: With what the graph holds instead.
    """
    built = nodes(folder)
    others = {f"MatMulNBits {each.precision} " for each in asked.overrides}
    wanted = f"MatMulNBits {asked.precision} block {asked.block_size} "
    fitting = [name for name in built if name.startswith(wanted)]
    strange = [name for name in built if not name.startswith((wanted, *others))]
    if asked.precision == "fp32" and not built:
        return
    if asked.precision != "fp32" and fitting and (asked.method != "rtn" or not strange):
        return
    reason = f"asked for {asked.variant}, and the graph holds {built or 'nothing quantized'}"
    raise StepCrashed("build", reason, str(folder))


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


def _with_layer_types(weights: Path, room: Path) -> Path:
    """Return the checkpoint; that of a Phi-3 with the sliding window of each layer.

    The builder of onnxruntime-genai 0.18 reads which layers have a window from ``layer_types``,
    which Phi-3's configuration lacks. It would build full attention and still declare a window, and
    every sequence longer than the window would crash at run time.
    """
    config = json.loads((weights / "config.json").read_bytes())
    if config.get("model_type") != "phi3" or not config.get("sliding_window"):
        return weights
    room.mkdir()
    for path in weights.iterdir():
        (room / path.name).symlink_to(path.resolve())
    (room / "config.json").unlink()
    kinds = ["sliding_attention"] * config["num_hidden_layers"]
    text = json.dumps({"layer_types": kinds} | config)
    (room / "config.json").write_text(text, encoding="utf-8")
    return room


def _quantized(path: Path) -> Iterator[str]:
    import onnx

    for node in onnx.load(str(path), load_external_data=False).graph.node:
        if node.op_type == "MatMulNBits":
            values = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
            bits, block = values.get("bits", 4), values["block_size"]
            yield f"MatMulNBits int{bits} block {block} level {values.get('accuracy_level', 0)}"


def _target(quantization: Quantization) -> dict[str, object] | None:
    if quantization.precision == "fp32":
        return None
    weights: dict[str, object] = {
        "type": quantization.precision,
        "block_size": quantization.block_size,
        "method": quantization.method,
        "symmetric": quantization.symmetric,
    }
    if quantization.accuracy_level is not None:
        weights["accuracy_level"] = quantization.accuracy_level
    if quantization.overrides:
        weights["overrides"] = [
            {"match": {"name": each.node}, "type": each.precision}
            for each in quantization.overrides
        ]
    return {"quant_config": {"weights": weights}}


def _max_length(weights: Path) -> int:
    return min(_MAX_LENGTH, _configured(weights, "max_position_embeddings", _MAX_LENGTH))


def _configured(weights: Path, field: str, default: int) -> int:
    return int(json.loads((weights / "config.json").read_bytes()).get(field) or default)


#: Memory of a build as a multiple of the weights' bytes in bfloat16, measured with
#: onnxruntime-genai 0.18 on a model of 494 million parameters.
_BUILD_MEMORY = {"rtn": 6.0, "k_quant": 9.0}


def build_memory_bytes(choice: Quantization, parameters: int) -> int:
    """Return the approximate peak memory of the builder."""
    return int(_BUILD_MEMORY[choice.method] * 2 * parameters)
