"""How a model is made small: by quantizing it here, or by taking what somebody published."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from slipway.values.base import Value
from slipway.values.sources import Stored

Precision = Literal["fp32", "int8", "int4"]
Target = Literal["cpu", "cuda", "dml", "webgpu"]
VariantPrecision = Literal["int4", "int8", "fp16", "fp32"]


class Override(Value):
    """A node of the graph, such as ``/lm_head/MatMul``, that is quantized unlike the rest."""

    node: str = Field(pattern=r"^/[\w./-]+$")
    precision: Literal["int8", "int4"]


class Quantization(Value):
    """One way to build an ONNX artifact from weights.

    Attributes:
        block_size: Numbers that share one scale.
        method: ``rtn`` (round to nearest) or ``k_quant`` (slower to build, closer to the source).
        accuracy_level: 4 computes int4 products in int8 (fast), 1 in fp32; None leaves the
            builder's choice for the precision.
        symmetric: Whether zero maps to zero without an offset.
    """

    precision: Precision
    block_size: Literal[16, 32, 64, 128, 256] = 32
    method: Literal["rtn", "k_quant"] = "rtn"
    accuracy_level: Literal[0, 1, 2, 3, 4] | None = None
    symmetric: bool = True
    overrides: tuple[Override, ...] = ()

    @property
    def variant(self) -> str:
        """Name for people, such as ``cpu-int4-rtn-block-32``."""
        if self.precision == "fp32":
            return "cpu-fp32"
        name = f"cpu-{self.precision}-{self.method}-block-{self.block_size}"
        level = "" if self.accuracy_level is None else f"-acc-level-{self.accuracy_level}"
        others = "".join(f"-{_slug(each.node)}-{each.precision}" for each in self.overrides)
        return name + level + ("" if self.symmetric else "-asymmetric") + others


class QuantizeRecipe(Value):
    """Build the artifact from the source's own weights.

    Attributes:
        candidates: What is built and measured; no two alike.
        prefer: Which of those that pass their gates goes on: the ``first``, the ``smallest`` or
            the ``fastest``.
    """

    kind: Literal["quantize"] = "quantize"
    candidates: tuple[Quantization, ...] = Field(min_length=1)
    prefer: Literal["first", "smallest", "fastest"] = "first"

    @field_validator("candidates")
    @classmethod
    def _differ(cls, candidates: tuple[Quantization, ...]) -> tuple[Quantization, ...]:
        if len({each.variant for each in candidates}) < len(candidates):
            raise ValueError("two candidates are the same")
        return candidates


class SelectRecipe(Value):
    """Take an artifact that somebody published, such as the model's own makers.

    Attributes:
        repo: Repository that holds one or more folders with a ``genai_config.json``.
        target: Execution provider that the artifact was made for.
        folder: The artifact's path, a dot for the repository's root; None lets the names decide.
        model: The model's name in the path, where the repository holds several.
        prefer: ``speed`` takes accuracy level 4 on a CPU, ``accuracy`` another, if there are both.
        endpoint: Address of the server; None for ``HF_ENDPOINT``, or the public Hub.
    """

    kind: Literal["select"] = "select"
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    ref: str = "main"
    target: Target = "cpu"
    precision: VariantPrecision
    folder: str | None = Field(default=None, min_length=1)
    model: str | None = Field(default=None, min_length=1)
    prefer: Literal["speed", "accuracy"] = "speed"
    endpoint: str | None = Field(default=None, pattern=r"^https?://")


Recipe = Annotated[QuantizeRecipe | SelectRecipe, Field(discriminator="kind")]


class Variant(Value):
    """A folder of a repository that onnxruntime-genai loads, as far as its listing tells.

    Attributes:
        folder: Path inside the repository; empty for its root.
        target: Execution provider that its configuration asks for, in lower case and without
            ``ExecutionProvider``; several are joined by ``+``.
        precision: Type of its weights, such as ``int4``; None if no name tells.
        method: How they were quantized, such as ``rtn`` or ``k_quant``; None if no name tells.
        block_size: Numbers that share one scale; None if no name tells.
        accuracy_level: 4 computes int4 products in int8, 1 in fp32; None if no name tells.
        model: The model's name in the path, for a repository that holds several; None without.
        size_bytes: What a download of ``paths`` brings.
        paths: The files that are taken, relative to the repository.
        missing: Files that it needs and that are not there, or not of an allowed kind.
    """

    folder: str
    target: str
    precision: str | None
    method: str | None
    block_size: int | None
    accuracy_level: int | None
    model: str | None
    size_bytes: int = Field(ge=0)
    paths: tuple[str, ...] = Field(min_length=1)
    missing: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The folder as a recipe names it: a dot for the repository's root."""
        return self.folder or "."


class Artifact(Value):
    """A folder that onnxruntime-genai loads: graph, weights, ``genai_config.json``, tokenizer.

    Attributes:
        variant: Name for people, such as ``cpu-int8-rtn-block-32``.
        origin: The repository and commit it was selected from, or None when it was built here.
        nodes: How many nodes of each quantized kind its graphs hold, as read from them.
        build_seconds: How long the build or the download took.
        peak_memory_bytes: Most that the build held at once; None for a selected one.
    """

    variant: str
    origin: str | None
    stored: Stored
    nodes: dict[str, int]
    build_seconds: float = Field(ge=0)
    peak_memory_bytes: int | None


def _slug(node: str) -> str:
    """Return the short name of a node: ``lm_head`` of ``/lm_head/MatMul``."""
    return node.strip("/").removesuffix("/MatMul").replace("/", "-")
