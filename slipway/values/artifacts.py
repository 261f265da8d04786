"""How a model is made small: by quantizing it here, or by taking what somebody published."""

import hashlib
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from slipway.values.base import Value
from slipway.values.sources import Stored

Precision = Literal["fp32", "int8", "int4"]
Target = Literal["cpu", "cuda", "dml", "webgpu"]
VariantPrecision = Literal["int4", "int8", "fp16", "fp32"]
#: Which of the candidates that pass their gates goes on.
Preference = Literal["first", "smallest", "fastest", "pareto"]
SpeedWeight = Annotated[float, Field(ge=0, le=1)]
#: Groups of matrix products that the builder knows: the output layer, and of every model's layers
#: the eighths at both ends and each third between them, with their value and down projections.
Group = Literal["last_matmul", "mixed_layers"]

_FEW = 3  # nodes that a variant's name lists


class Override(Value):
    """A node of the graph, such as ``/lm_head/MatMul``, that is quantized unlike the rest."""

    node: str = Field(pattern=r"^/[\w./-]+$")
    precision: Literal["int8", "int4"]


class Quantization(Value):
    """One way to build an ONNX artifact from weights.

    Attributes:
        block_size: Numbers that share one scale.
        method: ``rtn`` (round to nearest), ``k_quant`` (slower to build, closer to the source), or
            for int4 ``gptq``, which corrects what rounding loses on calibration texts.
        accuracy_level: 4 computes int4 products in int8 (fast), 1 in fp32; None leaves the
            builder's choice for the precision.
        symmetric: Whether zero maps to zero without an offset.
        mixed: Groups of matrix products that are quantized to the other precision: to int8 in an
            int4 artifact, to int4 in an int8 artifact.
        embeddings: ``tied`` reads the token embeddings from the quantized output layer, ``float``
            stores them a second time in float32; None ties them where the checkpoint does.
    """

    precision: Precision
    block_size: Literal[16, 32, 64, 128, 256] = 32
    method: Literal["rtn", "k_quant", "gptq"] = "rtn"
    accuracy_level: Literal[0, 1, 2, 3, 4] | None = None
    symmetric: bool = True
    overrides: tuple[Override, ...] = ()
    mixed: tuple[Group, ...] = ()
    embeddings: Literal["tied", "float"] | None = None

    @model_validator(mode="after")
    def _quantizes(self) -> Self:
        if self.precision == "fp32" and (self.mixed or self.embeddings):
            raise ValueError("fp32 quantizes nothing, so it has neither mixed nor embeddings")
        if self.precision != "int4" and self.method == "gptq":
            raise ValueError("method gptq calibrates int4 only; use rtn or k_quant")
        return self

    @property
    def other_precision(self) -> Literal["int8", "int4"]:
        """What the groups of ``mixed`` are quantized to."""
        return "int8" if self.precision == "int4" else "int4"

    def for_checkpoint(self, *, tied: bool) -> Self:
        """Return the recipe with its embeddings decided.

        Args:
            tied: Whether the checkpoint has one matrix as its embeddings and its output layer.
        """
        if self.embeddings or self.precision == "fp32":
            return self
        return self.model_copy(update={"embeddings": "tied" if tied else "float"})

    @property
    def variant(self) -> str:
        """Name for people, such as ``cpu-int4-rtn-block-32``."""
        if self.precision == "fp32":
            return "cpu-fp32"
        name = f"cpu-{self.precision}-{self.method}-block-{self.block_size}"
        level = "" if self.accuracy_level is None else f"-acc-level-{self.accuracy_level}"
        others = _names(self.overrides)
        groups = "".join(f"-{self.other_precision}_{each}" for each in self.mixed)
        embeddings = f"-{self.embeddings}-embeddings" if self.embeddings else ""
        offset = "" if self.symmetric else "-asymmetric"
        return name + level + offset + others + groups + embeddings


class QuantizeRecipe(Value):
    """Build the artifact from the source's own weights.

    Attributes:
        candidates: What is built and measured; no two alike.
        prefer: Which of those that pass their gates goes on: the ``first``, the ``smallest``, the
            ``fastest``, or the one with the best balance of both, ``pareto``.
        speed_weight: How much speed counts for ``pareto``; size counts the rest of 1.
    """

    kind: Literal["quantize"] = "quantize"
    candidates: tuple[Quantization, ...] = Field(min_length=1)
    prefer: Preference = "first"
    speed_weight: SpeedWeight = 0.5

    @field_validator("candidates")
    @classmethod
    def _differ(cls, candidates: tuple[Quantization, ...]) -> tuple[Quantization, ...]:
        if len({each.variant for each in candidates}) < len(candidates):
            raise ValueError("two candidates are the same")
        return candidates

    @property
    def is_calibrated(self) -> bool:
        """Whether a candidate needs calibration texts."""
        return any(each.method == "gptq" for each in self.candidates)


class VariantChoice(Value):
    """Which one is taken of the artifacts that a repository publishes.

    Attributes:
        folder: The artifact's path, a dot for the repository's root; None lets the names decide.
        model: The model's name in the path, where the repository holds several.
        prefer: ``speed`` takes accuracy level 4 on a CPU, ``accuracy`` another, if there are both.
    """

    target: Target = "cpu"
    precision: VariantPrecision
    folder: str | None = Field(default=None, min_length=1)
    model: str | None = Field(default=None, min_length=1)
    prefer: Literal["speed", "accuracy"] = "speed"


class SelectRecipe(Value):
    """Take artifacts that somebody published, such as the model's own makers.

    A recipe with one candidate is written without the list: its fields are the recipe's.

    Attributes:
        candidates: What is downloaded and measured; no two alike.
        prefer: As in ``QuantizeRecipe``, and so is ``speed_weight``.
        endpoint: As in ``HubSource``.
    """

    kind: Literal["select"] = "select"
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    ref: str = "main"
    candidates: tuple[VariantChoice, ...] = Field(min_length=1)
    prefer: Preference = "first"
    speed_weight: SpeedWeight = 0.5
    endpoint: str | None = Field(default=None, pattern=r"^https?://[^@]+$")

    @model_validator(mode="before")
    @classmethod
    def _read_one(cls, written: Any) -> Any:
        if not isinstance(written, dict) or "candidates" in written:
            return written
        own = {name: written[name] for name in VariantChoice.model_fields if name in written}
        rest = {name: value for name, value in written.items() if name not in own}
        return {**rest, "candidates": [own]}

    @model_serializer(mode="wrap")
    def _write_one(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        if len(self.candidates) == 1:
            [only] = written.pop("candidates")
            del written["speed_weight"]  # there is nothing to prefer
            written |= only
        return written

    @field_validator("candidates")
    @classmethod
    def _differ(cls, candidates: tuple[VariantChoice, ...]) -> tuple[VariantChoice, ...]:
        if len(set(candidates)) < len(candidates):
            raise ValueError("two candidates are the same")
        return candidates


class SearchRecipe(Value):
    """Build artifacts between int4 and int8 until the smallest that keeps a limit is found.

    Each layer gets the type that it needs: what costs little in int4 is in int4, the rest in int8.

    Attributes:
        max_kl: Most that ``kl_mean`` may be; the smallest artifact is looked for that passes this
            and the entry's other gates of fidelity.
        max_size_mb: Largest size in millions of bytes; the closest artifact of this size is built.
        max_builds: Most artifacts that are built.
        block_size, symmetric: As in ``Quantization``; of what is in int8 alone, only the block.
        method: How what is in int4 is rounded, as in ``Quantization``.
    """

    kind: Literal["search"] = "search"
    max_kl: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    max_size_mb: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    max_builds: int = Field(default=6, ge=2, le=20)
    block_size: Literal[16, 32, 64, 128, 256] = 32
    symmetric: bool = False
    method: Literal["rtn", "gptq"] = "rtn"

    @model_validator(mode="after")
    def _has_one_limit(self) -> Self:
        if (self.max_kl is None) == (self.max_size_mb is None):
            raise ValueError("a search has either max_kl or max_size_mb")
        return self

    @property
    def candidates(self) -> tuple[Quantization, Quantization]:
        """The ends between which is searched: everything in int8, and everything in int4."""
        return (
            Quantization(precision="int8", block_size=self.block_size),
            Quantization(
                precision="int4",
                block_size=self.block_size,
                symmetric=self.symmetric,
                method=self.method,
            ),
        )

    @property
    def is_calibrated(self) -> bool:
        """As in ``QuantizeRecipe``."""
        return self.method == "gptq"

    @property
    def prefer(self) -> Preference:
        """What is found is listed with the best first."""
        return "first"

    @property
    def speed_weight(self) -> float:
        """What is found is listed by its size alone."""
        return 0.0


Recipe = Annotated[QuantizeRecipe | SelectRecipe | SearchRecipe, Field(discriminator="kind")]


class Variant(Value):
    """A folder that onnxruntime-genai loads, as far as a listing tells; None where it does not.

    Attributes:
        folder: Path inside the repository; empty for its root.
        target: Execution provider that its configuration asks for, in lower case and without
            ``ExecutionProvider``; several are joined by ``+``.
        method: How it was quantized, such as ``rtn`` or ``k_quant``.
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
        origin: The repository and commit it was selected from, or None when it was built here.
        nodes: How many nodes of each quantized kind its graphs hold, as read from them.
        peak_memory_bytes: Most that the build held at once; None for a selected one.
    """

    variant: str
    origin: str | None
    stored: Stored
    nodes: dict[str, int]
    build_seconds: float = Field(ge=0)
    peak_memory_bytes: int | None


def _names(overrides: tuple[Override, ...]) -> str:
    """Return the nodes with another precision; of more than a few, their number and a digest."""
    names = [f"-{_slug(each.node)}-{each.precision}" for each in overrides]
    if len(names) <= _FEW:
        return "".join(names)
    return f"-{len(names)}-others-{hashlib.sha256(''.join(names).encode()).hexdigest()[:6]}"


def _slug(node: str) -> str:
    """Return the short name of a node: ``lm_head`` of ``/lm_head/MatMul``."""
    return node.strip("/").removesuffix("/MatMul").replace("/", "-")
