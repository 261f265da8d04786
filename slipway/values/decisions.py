"""What is decided, and what moves."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from slipway.values.answers import Severity
from slipway.values.base import Value
from slipway.values.evaluations import GateResult
from slipway.values.figures import METRICS, Figures, Metric
from slipway.values.versions import LoggedWrapper, RegisteredVersions

Limit = Annotated[float | None, Field(ge=0, allow_inf_nan=False)]


class GateLimits(Value):
    """What one figure may be; several limits hold together, and none at all lifts a default.

    Attributes:
        min: Least that it may be.
        max: Most that it may be.
        max_degradation_vs_source: Most by which it may be worse than the source's, as a share of
            that; 0.1 lets a size be a tenth larger, and a speed a tenth lower.
        max_degradation_vs_champion: The same against the version that serves.
        severity: A failed ``critical`` gate blocks, a ``warning`` is shown.
    """

    min: Limit = None
    max: Limit = None
    max_degradation_vs_source: Limit = None
    max_degradation_vs_champion: Limit = None
    severity: Severity = "critical"


class Gates(Value):
    """Limits that a candidate must keep; every one fails closed.

    Every field is a figure, with what it may be. An entry's own limits replace the defaults
    of its candidate's precision, figure by figure.
    """

    compared_tokens: GateLimits | None = None
    broken_positions: GateLimits | None = None
    kl_mean: GateLimits | None = None
    kl_p99: GateLimits | None = None
    top1_agreement: GateLimits | None = None
    perplexity_ratio: GateLimits | None = None
    first_divergence_tokens: GateLimits | None = None
    max_logit_difference: GateLimits | None = None
    size_bytes: GateLimits | None = None
    load_seconds: GateLimits | None = None
    time_to_first_token_ms: GateLimits | None = None
    prefill_tokens_per_second: GateLimits | None = None
    decode_tokens_per_second: GateLimits | None = None
    peak_memory_bytes: GateLimits | None = None
    answered_prompts: GateLimits | None = None
    median_latency_ms: GateLimits | None = None
    tokens_per_second: GateLimits | None = None

    @property
    def limits(self) -> dict[Metric, GateLimits]:
        """The figures that are limited here."""
        return {metric: limit for metric in METRICS if (limit := getattr(self, metric))}


class Promoted(Value):
    """The candidate may serve."""

    kind: Literal["promoted"] = "promoted"
    reasons: tuple[str, ...] = Field(min_length=1)


class Rejected(Value):
    """The candidate must not serve: today's champion stays."""

    kind: Literal["rejected"] = "rejected"
    reasons: tuple[str, ...] = Field(min_length=1)


class Inconclusive(Value):
    """Nothing can be said; so the candidate must not serve."""

    kind: Literal["inconclusive"] = "inconclusive"
    reasons: tuple[str, ...] = Field(min_length=1)


Verdict = Annotated[Promoted | Rejected | Inconclusive, Field(discriminator="kind")]


class Decision(Value):
    """What became of a candidate's gates.

    Attributes:
        gates: What every gate said.
        verdict: What follows from them, and from the smoke test.
    """

    gates: tuple[GateResult, ...]
    verdict: Verdict


class Champion(Value):
    """The champion at the start of a release; every step compares with this one.

    Attributes:
        wrapper: Its ONNX wrapper, with the contract that its release recorded.
        run_id: MLflow run of its release.
        figures: What was measured when it was released.
    """

    wrapper: LoggedWrapper
    run_id: str
    figures: Figures

    @property
    def version(self) -> int:
        """Number of the ONNX wrapper's version."""
        return self.wrapper.version


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
        versions: What was released.
        repo: Public name of the source.
        commit: What it was made from.
        variant: Name of the ONNX artifact.
        verdict: What was decided, with reasons.
        promotion: What moved; None unless the verdict is Promoted.
        existed: Whether an earlier run had already released the same key.
        waiting: Whether a person still has to approve it.
    """

    versions: RegisteredVersions
    repo: str
    commit: str
    variant: str
    verdict: Verdict
    promotion: Promotion | None
    existed: bool = False
    waiting: bool = False

    @property
    def may_be_repeated(self) -> bool:
        """Whether it serves or served; what waits or is quarantined needs a person's word first."""
        return isinstance(self.verdict, Promoted) and not self.waiting
