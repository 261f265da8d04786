"""All checks of a folder: a checkpoint in transformers' layout, or an ONNX artifact.

They run in a child process with limits of its own, since even a parser may take all memory.
"""

from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from slipway.errors import ArchitectureUnsupported, SourceRefused, StepFailed
from slipway.system.call import call
from slipway.system.process import ProcessLimits
from slipway.validation import (
    chat_templates,
    contents,
    genai_config,
    names,
    onnx_graphs,
    references,
    weights,
)
from slipway.validation.chat_templates import Template
from slipway.values import Value

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
_OUTPUT_LAYER = "lm_head.weight"

#: Files that say what a checkpoint is; the largest of them is an index of some megabytes.
_SMALL = frozenset(
    {
        *("config.json", "generation_config.json", "tokenizer_config.json"),
        *("chat_template.json", "processor_config.json", "special_tokens_map.json"),
        weights.INDEX,
    }
)
#: Where AWQ, GPTQ, bitsandbytes, FP8, compressed-tensors and ModelOpt say that weights are theirs.
_QUANTIZED_FIELDS = ("quantization_config", "compression_config")
_QUANTIZED_FILES = frozenset({"hf_quant_config.json", "quant_config.json", "quantize_config.json"})
_UNQUANTIZED = "name the repository with the original weights as the source"

#: What the checks of one folder may take. A graph with its weights inside is read as a whole.
_SECONDS = 300
_BYTES = 2_500_000_000
_BYTES_PER_GRAPH_BYTE = 3


class FolderRequest(Value):
    """A folder to check.

    Attributes:
        paths: The files of the source; None for all that the folder has. Others are not looked at.
    """

    folder: Path
    paths: tuple[str, ...] | None = None


class CheckpointFacts(Value):
    """Facts about a checkpoint: see ``slipway.values.Weights``, which repeats them."""

    architecture: str
    parameters: int
    tied: bool
    templates: tuple[Template, ...]

    @property
    def chat_template_digest(self) -> str | None:
        """SHA-256 of the template that is used, 64 hex digits; None if there is none."""
        return chat_templates.digest(self.templates)


class SettingsFacts(Value):
    """Facts that the small files of a checkpoint tell, before its weights are here.

    Attributes:
        ties: What the configuration says of its embeddings; None if it says nothing.
    """

    architecture: str
    ties: bool | None
    templates: tuple[Template, ...]


class ArtifactFacts(Value):
    """Facts about an ONNX artifact: its quantized nodes by kind, and its chat templates."""

    nodes: dict[str, int]
    templates: tuple[Template, ...]


Facts = TypeVar("Facts", CheckpointFacts, SettingsFacts, ArtifactFacts)


def check_checkpoint(folder: Path, paths: tuple[str, ...] | None = None) -> CheckpointFacts:
    """Check every file of a checkpoint in child processes, and render its chat templates.

    Args:
        folder: The folder.
        paths: As in ``FolderRequest``.

    Raises:
        SourceRefused: With the file and the rule that it breaks.
    """
    return _in_child(inspect_checkpoint, FolderRequest(folder=folder, paths=paths))


def check_settings(folder: Path, paths: tuple[str, ...]) -> SettingsFacts:
    """Check a checkpoint of which the small files are here, and the others are only listed.

    Args:
        folder: Has those of :func:`small_files`.
        paths: All files of the source.

    Raises:
        SourceRefused: With the file and the rule that it breaks, or the file that is missing.
    """
    return _in_child(inspect_settings, FolderRequest(folder=folder, paths=paths))


def check_artifact(folder: Path) -> ArtifactFacts:
    """Check every file of an ONNX artifact in child processes, and render its chat templates.

    Raises:
        SourceRefused: With the file and the rule that it breaks.
    """
    return _in_child(inspect_artifact, FolderRequest(folder=folder))


def small_files(paths: Iterable[str]) -> tuple[str, ...]:
    """Return those of a checkpoint's files that say what it is: settings, template, index."""
    return tuple(path for path in paths if path in _SMALL or path.endswith(".jinja"))


def inspect_checkpoint(request: FolderRequest) -> CheckpointFacts:
    """Check every file of a checkpoint but for what its chat templates do; runs in the child."""
    files = _checked(request)
    facts = _settings_of(files, request.paths)
    tensors = weights.check(files)
    onnx_graphs.check(files)
    has_output_layer = any(name.endswith(_OUTPUT_LAYER) for name in tensors)
    return CheckpointFacts(
        architecture=facts.architecture,
        parameters=sum(tensors.values()),
        tied=not has_output_layer if facts.ties is None else facts.ties,
        templates=facts.templates,
    )


def inspect_settings(request: FolderRequest) -> SettingsFacts:
    """Check the settings of a checkpoint against the list of its files; runs in the child."""
    files = _checked(request)
    facts = _settings_of(files, request.paths)
    index = (
        contents.read_object(weights.INDEX, path) if (path := files.get(weights.INDEX)) else None
    )
    weights.check_names({path: request.folder / path for path in request.paths or ()}, index)
    return facts


def _settings_of(files: dict[str, Path], paths: tuple[str, ...] | None) -> SettingsFacts:
    _require(paths or files, ("config.json", *_TOKENIZER), "a checkpoint")
    config = contents.read_object("config.json", files["config.json"])
    _require_unquantized(config, paths or files)
    architectures = config.get("architectures") or ["not named"]
    settings = references.check(
        files, paths or (), knows_code=paths is not None and has_known_code(config)
    )
    ties = config.get("tie_word_embeddings")
    return SettingsFacts(
        architecture=str(architectures[0]),
        ties=None if ties is None else bool(ties),
        templates=chat_templates.find(files, settings),
    )


def has_known_code(config: Any) -> bool:
    """Return whether transformers itself has the code of the model with this ``config.json``."""
    architectures = config.get("architectures") if isinstance(config, dict) else None
    named = {*map(str, architectures)} if isinstance(architectures, list) else set()
    return bool(named) and named <= {*SUPPORTED}


def _require_unquantized(config: dict[str, Any], names: Collection[str]) -> None:
    """Check that a checkpoint has its original weights: others need a library for each method."""
    for key, value in references.fields(config):
        if key in _QUANTIZED_FIELDS and value:
            method = value.get("quant_method") if isinstance(value, dict) else None
            how = f" with {ascii(str(method))[1:41]}" if method else ""
            rule = f"its weights are quantized already{how}, and a source needs its original ones"
            raise SourceRefused("config.json", rule, _UNQUANTIZED)
    for name in _QUANTIZED_FILES & {*names}:
        raise SourceRefused(name, "it belongs to weights that are quantized already", _UNQUANTIZED)


def inspect_artifact(request: FolderRequest) -> ArtifactFacts:
    """Check every file of an artifact before a runtime opens one; runs in the child."""
    files = _checked(request)
    _require(files, (genai_config.NAME, *_TOKENIZER), "an artifact")
    genai_config.check(files[genai_config.NAME])
    settings = references.check(files)
    for name, path in files.items():
        if path.suffix == weights.SUFFIX:
            weights.read_shapes(name, path)
    nodes = onnx_graphs.check(files)
    return ArtifactFacts(nodes=nodes, templates=chat_templates.find(files, settings))


def require_supported(architecture: str) -> None:
    """Check that the builder can convert ``architecture``.

    Raises:
        ArchitectureUnsupported: With those that it can.
    """
    if architecture not in SUPPORTED:
        raise ArchitectureUnsupported(architecture, SUPPORTED)


def _in_child(inspect: Callable[[FolderRequest], Facts], request: FolderRequest) -> Facts:
    folder = request.folder
    names.files(folder, request.paths)  # before anything follows a link in it
    graphs = sum(path.stat().st_size for path in folder.rglob("*.onnx"))
    with TemporaryDirectory(prefix="slipway-") as logs:
        limits = ProcessLimits(_SECONDS, _BYTES + _BYTES_PER_GRAPH_BYTE * graphs, Path(logs))
        try:
            facts = call(inspect, request, limits, step="validate").value
        except StepFailed as error:
            rule = f"its files could not be checked: {error.brief}"
            raise SourceRefused("the source", rule, "use another revision") from error
    for template in facts.templates:
        chat_templates.require_renders(template)
    return facts


def _checked(request: FolderRequest) -> dict[str, Path]:
    """Return every file by name, each of the kind that its name says."""
    files = names.files(request.folder, request.paths)
    for name, path in files.items():
        contents.check(name, path)
    return files


def _require(files: Collection[str], needed: tuple[str, ...], user: str) -> None:
    for name in needed:
        if name not in files:
            raise SourceRefused(name, f"{user} needs it, and it is missing", "add the file")
