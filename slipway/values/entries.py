"""One model of the catalogue: everything that a release of it needs to know."""

from typing import Annotated, Literal

from pydantic import Field

from slipway.values.aliases import PromotionTarget
from slipway.values.answers import Severity
from slipway.values.artifacts import Recipe, SelectRecipe
from slipway.values.base import Value
from slipway.values.figures import METRICS, Metric
from slipway.values.sources import HubSource, Source
from slipway.values.versions import Contract

Limit = Annotated[float | None, Field(ge=0, allow_inf_nan=False)]


class GateLimits(Value):
    """What one figure may be; several limits hold together, and none at all lifts a default.

    Attributes:
        max_degradation_vs_source: Most by which it may be worse than the source's, as a share of
            that; 0.1 lets a size be a tenth larger, and a speed a tenth lower.
        max_degradation_vs_champion: The same against the champion.
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


class Wrappers(Value):
    """Which contract each wrapper speaks.

    Attributes:
        onnx: ``prompt`` is the scenario's ``{'prompt': string} → string``; ``chat`` is
            ``llm/v1/chat``.
        transformers: MLflow's own flavor speaks ``chat``.
    """

    onnx: Contract = "prompt"
    transformers: Literal["chat"] = "chat"


class Entry(Value):
    """One model that we release.

    Attributes:
        name: Its name here and in the registry; the reference is ``<name>-transformers``.
        title: Its name for people.
        suite: Name of the smoke prompts, a file of ``expectations/prompts``.
        texts: Name of the texts on which candidates are compared with their source, a folder of
            ``expectations/texts``.
        gates: Limits that a candidate must keep.
        aliases: How far a candidate that passes may go: ``champion`` serves; ``candidate`` waits
            for a person to move the alias.
        approval: ``manual``: what passed its gates waits at ``candidate`` for a person's approval.
        approval_timeout_hours: After this time without an answer it is rejected.
        licenses: License identifiers that may be released.
        automatic: Whether schedules and watches release it; otherwise only people and events that
            name it do.
        schedule: Cron expression (UTC) at which it is released again; None for never.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    title: str
    source: Source
    recipe: Recipe
    wrappers: Wrappers = Wrappers()
    suite: str = Field(default="general", pattern=r"^[a-z0-9-]+$")
    texts: str = Field(default="general", pattern=r"^[a-z0-9-]+$")
    gates: Gates = Gates()
    aliases: Literal["champion", "candidate"] = "champion"
    approval: Literal["automatic", "manual"] = "automatic"
    approval_timeout_hours: float = Field(default=72, gt=0)
    licenses: tuple[str, ...] = Field(min_length=1)
    automatic: bool = True
    schedule: str | None = Field(default=None, pattern=r"^\S+( \S+){4}$")

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
