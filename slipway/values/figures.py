"""Figures of an artifact: how close it is to its source, how fast and how large."""

from typing import Literal, Self, get_args

from slipway.values.base import Value

#: The figures that can be measured and limited; docs/catalogue.md describes each.
Metric = Literal[
    "compared_tokens",
    "broken_positions",
    "kl_mean",
    "kl_p99",
    "kl_long",
    "top1_agreement",
    "perplexity_ratio",
    "first_divergence_tokens",
    "max_logit_difference",
    "size_bytes",
    "load_seconds",
    "time_to_first_token_ms",
    "prefill_tokens_per_second",
    "decode_tokens_per_second",
    "joules_per_1000_tokens",
    "peak_memory_bytes",
    "answered_prompts",
    "lost_prompts",
    "lost_questions",
    "answer_length_ratio",
    "median_latency_ms",
    "tokens_per_second",
    "champion_speed_ratio",
    "stop_rate_loss",
    "loop_rate_gain",
    "refusal_rate_gain",
]
METRICS: tuple[Metric, ...] = get_args(Metric)


class Estimate(Value):
    """A figure with its 95 % interval; an exact figure has an interval of no width."""

    value: float
    low: float
    high: float

    @classmethod
    def exact(cls, value: float) -> Self:
        """Return a figure without uncertainty, such as a size."""
        return cls(value=value, low=value, high=value)

    @property
    def negative(self) -> "Estimate":
        """The same difference, seen from the other side."""
        return Estimate(value=0 - self.value, low=0 - self.high, high=0 - self.low)


Figures = dict[Metric, Estimate]

#: Of these figures, a larger one is better; of all others, a smaller one.
HIGHER_IS_BETTER: frozenset[Metric] = frozenset(
    {
        "compared_tokens",
        "top1_agreement",
        "first_divergence_tokens",
        "prefill_tokens_per_second",
        "decode_tokens_per_second",
        "answered_prompts",
        "tokens_per_second",
        "champion_speed_ratio",
    }
)

#: No value is better than another: how much was looked at, and how long answers are.
UNDIRECTED: frozenset[Metric] = frozenset({"compared_tokens", "answer_length_ratio"})

#: Medians without an interval, which other work on the machine changes; measured of the candidates
#: of one release alone, so that a champion's are of another day.
TIMED_ONCE: frozenset[Metric] = frozenset(
    {
        "load_seconds",
        "time_to_first_token_ms",
        "prefill_tokens_per_second",
        "decode_tokens_per_second",
        "joules_per_1000_tokens",
    }
)

#: All such medians.
TIMED: frozenset[Metric] = TIMED_ONCE | {
    "peak_memory_bytes",
    "median_latency_ms",
    "tokens_per_second",
    "champion_speed_ratio",
}


class Fidelity(Value):
    """How close an artifact is to its source weights in transformers, on the same token ids.

    Attributes:
        tokens: Positions that were compared.
        broken: Positions at which the artifact's logits were not all finite; with any, the figures
            below are None.
        kl_mean: Mean KL divergence of the artifact from the source, in nats per token.
        kl_long: ``kl_mean`` on the long texts, which no other figure includes.
        top1_agreement: Share of positions at which both find the same token likeliest, 0 to 1.
        first_divergence_tokens: Mean count of greedy tokens before the first that differs.
        max_logit_difference: Largest difference of one logit among the source's likeliest tokens.
        kl_by_group: Mean KL divergence for each kind of text, such as a language, and for each
            long text.
    """

    tokens: int
    broken: int
    kl_mean: Estimate | None
    kl_p99: Estimate | None
    top1_agreement: Estimate | None
    perplexity_ratio: Estimate | None
    first_divergence_tokens: Estimate | None
    max_logit_difference: Estimate | None
    kl_by_group: dict[str, float]
    kl_long: Estimate | None = None


class Speed(Value):
    """How fast an artifact runs on this machine; medians of several rounds.

    Attributes:
        load_seconds: Time until the model can generate.
        time_to_first_token_ms: Time from a prompt of ``prompt_tokens`` to its first new token.
        prefill_tokens_per_second: Tokens of the prompt over the time to read them.
        decode_tokens_per_second: New tokens after the first over the time to generate them.
        rounds: How often each was measured, in turn with the other candidates.
        joules_per_1000_tokens: Energy of all processor packages, for whatever process they worked,
            while new tokens after the first were generated; None if it cannot be measured.
        energy_unknown: Why not, in one line.
    """

    load_seconds: float
    time_to_first_token_ms: float
    prefill_tokens_per_second: float
    decode_tokens_per_second: float
    peak_memory_bytes: int
    prompt_tokens: int
    new_tokens: int
    rounds: int
    joules_per_1000_tokens: float | None = None
    energy_unknown: str | None = None
