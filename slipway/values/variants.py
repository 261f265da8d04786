"""A ready artifact that somebody publishes."""

from typing import Literal

from pydantic import Field

from slipway.values.base import Value

Target = Literal["cpu", "cuda", "dml", "webgpu"]
VariantPrecision = Literal["int4", "int8", "fp16", "fp32"]


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
        missing: Files that it needs and that are not there, or not of a kind that is let in.
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
