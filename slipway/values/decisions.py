"""What is decided, and what moves."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from slipway.values.base import Value
from slipway.values.candidates import Candidate


class Gates(Value):
    """Limits that a candidate must keep; every one fails closed.

    Attributes:
        max_median_latency_ms: Slowest median answer of the ONNX wrapper to the smoke prompts.
        min_tokens_per_second: Slowest generation of the ONNX wrapper.
        max_size_ratio: Largest artifact, as a share of the source weights' bytes.
        min_prompts: Fewest answered prompts that a verdict may rest on.
    """

    max_median_latency_ms: float = Field(default=30_000, gt=0)
    min_tokens_per_second: float = Field(default=1, gt=0)
    max_size_ratio: float = Field(default=1.1, gt=0)
    min_prompts: int = Field(default=12, ge=1)


class Promote(Value):
    """The candidate may serve."""

    kind: Literal["promote"] = "promote"
    reasons: tuple[str, ...] = Field(min_length=1)


class Keep(Value):
    """The candidate must not serve: today's champion stays."""

    kind: Literal["keep"] = "keep"
    reasons: tuple[str, ...] = Field(min_length=1)


class Inconclusive(Value):
    """Nothing can be said; so the candidate must not serve."""

    kind: Literal["inconclusive"] = "inconclusive"
    reasons: tuple[str, ...] = Field(min_length=1)


Verdict = Annotated[Promote | Keep | Inconclusive, Field(discriminator="kind")]


class Promotion(Value):
    """Aliases that moved, and what they pointed to before.

    Attributes:
        run_id: The MLflow run that records it.
        at: When, in UTC.
        aliases: Names of the aliases that point to the candidate since.
        previous: Version of the ONNX wrapper that was champion before; None for the first.
    """

    run_id: str
    at: datetime
    aliases: tuple[str, ...]
    previous: int | None


class Release(Value):
    """How a release ended.

    Attributes:
        candidate: What was released.
        repo: Public name of the source.
        commit: What it was made from.
        variant: Name of the ONNX artifact.
        verdict: What was decided, with reasons.
        promotion: What moved; None unless the verdict is Promote.
        existed: Whether an earlier run had already released the same key.
        waiting: Whether a person still has to approve it.
    """

    candidate: Candidate
    repo: str
    commit: str
    variant: str
    verdict: Verdict
    promotion: Promotion | None
    existed: bool = False
    waiting: bool = False
