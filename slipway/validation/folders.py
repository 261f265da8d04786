"""All checks of a folder: a checkpoint in transformers' layout, or an ONNX artifact."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.errors import ArchitectureUnsupported, SourceRefused
from slipway.validation import chat_templates, contents, genai_config, names, onnx_graphs

#: Architectures whose ONNX build was compared with transformers, logit by logit.
SUPPORTED = (
    "GemmaForCausalLM",
    "GraniteForCausalLM",
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "Phi3ForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
    "SmolLM3ForCausalLM",
)

_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True)
class CheckpointFacts:
    """Facts about a checkpoint.

    Attributes:
        architecture: First entry of ``architectures``.
        parameters: Numbers in its tensors.
        chat_template_digest: SHA-256 of its chat template, 64 hex digits; None if it has none.
    """

    architecture: str
    parameters: int
    chat_template_digest: str | None


@dataclass(frozen=True)
class ArtifactFacts:
    """Facts about an ONNX artifact.

    Attributes:
        context_length: Most tokens of a prompt and its answer.
        nodes: Nodes of its graphs.
        chat_template_digest: SHA-256 of its chat template, 64 hex digits; None if it has none.
    """

    context_length: int
    nodes: int
    chat_template_digest: str | None


def inspect_checkpoint(folder: Path) -> CheckpointFacts:
    """Check every file of a checkpoint in transformers' layout.

    Raises:
        SourceRefused: With the file and the rule that it breaks.
    """
    files = _checked(folder)
    config = _config(folder / "config.json")
    _require(files, _TOKENIZER, "a checkpoint")
    weights = [path for path in files.values() if path.suffix == ".safetensors"]
    if not weights:
        raise SourceRefused("*.safetensors", "there are no weights", "save them as safetensors")
    count = sum(contents.count_parameters(path) for path in weights)
    onnx_graphs.check(files)
    architectures = config.get("architectures") or ["not named"]
    return CheckpointFacts(str(architectures[0]), count, chat_templates.check(files))


def inspect_artifact(folder: Path) -> ArtifactFacts:
    """Check every file of an ONNX artifact, before onnxruntime-genai opens one of them.

    Raises:
        SourceRefused: With the file and the rule that it breaks.
    """
    files = _checked(folder)
    _require(files, (genai_config.NAME, *_TOKENIZER), "an artifact")
    context_length = genai_config.check(folder / genai_config.NAME)
    for path in (path for path in files.values() if path.suffix == ".safetensors"):
        contents.count_parameters(path)
    return ArtifactFacts(context_length, onnx_graphs.check(files), chat_templates.check(files))


def require_supported(architecture: str) -> None:
    """Check that the builder can convert ``architecture``.

    Raises:
        ArchitectureUnsupported: With those that it can.
    """
    if architecture not in SUPPORTED:
        raise ArchitectureUnsupported(architecture, SUPPORTED)


def _checked(folder: Path) -> dict[str, Path]:
    """Return every file by name, each of the kind that its name says."""
    files = names.files(folder)
    for name, path in files.items():
        contents.check(name, path)
    return files


def _require(files: dict[str, Path], needed: tuple[str, ...], user: str) -> None:
    for name in needed:
        if name not in files:
            raise SourceRefused(name, f"{user} needs it, and it is missing", "add the file")


def _config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise SourceRefused("config.json", "it is missing", "add the file")
    config = contents.read_object("config.json", path)
    if "auto_map" in config:
        rule = "auto_map asks to run code of the source"
        raise SourceRefused("config.json", rule, "use a model that transformers itself supports")
    return config
