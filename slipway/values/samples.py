"""Answers that were sampled, and how often they end and loop."""

from pydantic import Field

from slipway.values.base import Value
from slipway.values.figures import Figures


class DeclaredSampling(Value):
    """How the authors of a model say that its answers are sampled.

    The fields and defaults are those of transformers' ``GenerationConfig``.

    Attributes:
        top_k: 0 samples from all tokens.
    """

    temperature: float = Field(default=1.0, gt=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=50, ge=0)


class Battery(Value):
    """What to sample.

    Attributes:
        sampling: None for what the wrapper's own source declares.
        prompt_ids: The prompts to sample; none to choose those that the wrapper ends soonest.
    """

    sampling: DeclaredSampling | None = None
    prompt_ids: tuple[str, ...] = ()


class SampledAnswer(Value):
    """One sampled answer.

    Attributes:
        stopped: Whether an end token ended it; otherwise the limit of tokens did.
        tokens: New tokens.
    """

    prompt_id: str
    text: str
    stopped: bool
    tokens: int


class Samples(Value):
    """What one wrapper answered when it sampled.

    Attributes:
        prompt_ids: The prompts that were sampled.
        error: One line, if the wrapper raised; there are no answers then.
    """

    sampling: DeclaredSampling
    prompt_ids: tuple[str, ...]
    answers: tuple[SampledAnswer, ...]
    error: str | None = None


class SampleRates(Value):
    """How often sampled answers end, loop and refuse.

    Attributes:
        answers: Number of sampled answers.
        mean_tokens: Mean length; 0 without answers.
    """

    answers: int
    stopped: int
    looped: int
    refused: int
    mean_tokens: float


class SampledComparison(Value):
    """The sampled answers of a candidate and of its source to the same prompts.

    Attributes:
        figures: By how much the candidate is worse; none if one of both has no answers.
    """

    sampling: DeclaredSampling
    source: SampleRates
    candidate: SampleRates
    figures: Figures
