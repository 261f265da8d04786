"""One model of the catalogue: everything that a release of it needs to know."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from slipway.values.aliases import PromotionTarget
from slipway.values.answers import Severity
from slipway.values.artifacts import Recipe, SelectRecipe
from slipway.values.base import Value
from slipway.values.figures import METRICS, TIMED_ONCE, Metric
from slipway.values.retention import Retention
from slipway.values.samples import DeclaredSampling
from slipway.values.schedules import CronExpression
from slipway.values.sources import HubSource, Source
from slipway.values.structured import Capability
from slipway.values.versions import Contract

TaskName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$")]
Limit = Annotated[float | None, Field(ge=0, allow_inf_nan=False)]


class GateLimits(Value):
    """What one figure may be; several limits hold together, and none at all lifts a default.

    Attributes:
        max_degradation_vs_source: Most by which it may be worse than the source's, as a share of
            that; 0.1 lets a size be a tenth larger, and a speed a tenth lower.
        max_degradation_vs_champion: The same against the champion.
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
    kl_long: GateLimits | None = None
    top1_agreement: GateLimits | None = None
    perplexity_ratio: GateLimits | None = None
    first_divergence_tokens: GateLimits | None = None
    max_logit_difference: GateLimits | None = None
    size_bytes: GateLimits | None = None
    load_seconds: GateLimits | None = None
    time_to_first_token_ms: GateLimits | None = None
    prefill_tokens_per_second: GateLimits | None = None
    decode_tokens_per_second: GateLimits | None = None
    joules_per_1000_tokens: GateLimits | None = None
    peak_memory_bytes: GateLimits | None = None
    answered_prompts: GateLimits | None = None
    lost_prompts: GateLimits | None = None
    lost_questions: GateLimits | None = None
    answer_length_ratio: GateLimits | None = None
    median_latency_ms: GateLimits | None = None
    tokens_per_second: GateLimits | None = None
    champion_speed_ratio: GateLimits | None = None
    stop_rate_loss: GateLimits | None = None
    loop_rate_gain: GateLimits | None = None
    refusal_rate_gain: GateLimits | None = None

    @field_validator("lost_prompts", "lost_questions")
    @classmethod
    def _margin(cls, limits: GateLimits | None) -> GateLimits | None:
        """Allow a margin alone: what is lost is lost against champion or source."""
        margin = limits and GateLimits(max=limits.max, severity=limits.severity)
        if limits != margin or (margin and (margin.max or 0) > 1):
            raise ValueError("give max, a share of the prompts from 0 to 1, and severity alone")
        return limits

    @field_validator(*TIMED_ONCE)
    @classmethod
    def _of_one_day(cls, limits: GateLimits | None) -> GateLimits | None:
        """Compare no speed with one of another day, perhaps of another machine."""
        if limits and limits.max_degradation_vs_champion is not None:
            raise ValueError(
                "the champion's was measured on another day; limit champion_speed_ratio instead"
            )
        return limits

    @property
    def limits(self) -> dict[Metric, GateLimits]:
        """The figures that are limited here."""
        return {metric: limit for metric in METRICS if (limit := getattr(self, metric))}


class TaskLimits(Value):
    """What a candidate may lose against its source in a task of lm-evaluation-harness.

    Attributes:
        margin: Largest loss that is accepted, in the unit of each metric; 0.05 of ``acc`` is 5
            points.
        metrics: Names of the metrics that are compared; all if there is none.
        limit: Items of the task; None for all.
    """

    margin: float = Field(ge=0, allow_inf_nan=False)
    metrics: tuple[str, ...] = ()
    limit: int | None = Field(default=None, ge=2)
    severity: Severity = "critical"


class Wrappers(Value):
    """Which contract each wrapper speaks.

    Attributes:
        onnx: ``prompt`` is the scenario's ``{'prompt': string} → string``; ``chat`` is
            ``llm/v1/chat``.
    """

    onnx: Contract = "prompt"
    transformers: Literal["chat"] = "chat"


class SwitchLimits(Value):
    """What a version may do after it began to serve; a limit that is not there limits nothing.

    Attributes:
        minutes: How long it is watched.
        error_rate: Largest share of requests that a fault of the server ends.
        p95_ttft_ms: Largest time to the first token of 95 % of the answers.
    """

    minutes: float = Field(default=10, gt=0, le=24 * 60, allow_inf_nan=False)
    error_rate: float | None = Field(default=None, ge=0, lt=1, allow_inf_nan=False)
    p95_ttft_ms: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _limit_something(self) -> Self:
        if self.error_rate is None and self.p95_ttft_ms is None:
            raise ValueError("error_rate, p95_ttft_ms or both")
        return self


class Entry(Value):
    """One model that we release.

    Attributes:
        name: Its name here and in the registry; the reference is ``<name>-transformers``.
        suite_tags: Only prompts with one of these tags are asked; all if there is none.
        texts: Name of the texts on which candidates are compared with their source, a folder of
            ``expectations/texts``.
        tasks: Tasks of lm-evaluation-harness, in which it must be as good as its source.
        capabilities: What it must do as well as its source: write JSON documents, call tools.
        sampling: How its answers are sampled, as its card says it; None for what the source's
            ``generation_config.json`` declares.
        aliases: How far a candidate that passes may go: ``champion`` serves; ``candidate`` waits
            for a person to move the alias.
        approval: ``manual``: what passed its gates waits at ``candidate`` for a person's approval.
        approval_timeout_hours: After this time without an answer it is rejected.
        unmeasured: ``accept``: a candidate for a device that the releasing machine has not is
            released without the gates and checks that run it; else its recipe is refused.
        automatic: Whether schedules and watches release it; otherwise only people and events that
            name it do.
        schedule: Cron expression (UTC) at which it is released again; None for never.
        watch: How a redeploy is watched; None for not at all.
        retention: What a clean-up leaves of its versions; None for all.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    title: str
    source: Source
    recipe: Recipe
    wrappers: Wrappers = Wrappers()
    suite: str = Field(default="general", pattern=r"^[a-z0-9-]+$")
    suite_tags: tuple[str, ...] = ()
    texts: str = Field(default="general", pattern=r"^[a-z0-9-]+$")
    sampling: DeclaredSampling | None = None
    capabilities: tuple[Capability, ...] = ()
    tasks: dict[TaskName, TaskLimits] = Field(default_factory=dict)
    gates: Gates = Gates()
    aliases: Literal["champion", "candidate"] = "champion"
    approval: Literal["automatic", "manual"] = "automatic"
    approval_timeout_hours: float = Field(default=72, gt=0)
    licenses: tuple[str, ...] = Field(min_length=1)
    unmeasured: Literal["refuse", "accept"] = "refuse"
    automatic: bool = True
    schedule: CronExpression | None = None
    watch: SwitchLimits | None = None
    retention: Retention | None = None

    @property
    def target(self) -> PromotionTarget:
        """How far a candidate that passes goes by itself."""
        waits = self.approval == "manual" and self.aliases == "champion"
        return "approval" if waits else self.aliases

    @property
    def repositories(self) -> tuple[HubSource | SelectRecipe, ...]:
        """The repositories of a Hub that it follows: its source's, and its recipe's."""
        known = (self.source, self.recipe)
        return tuple(each for each in known if isinstance(each, HubSource | SelectRecipe))
