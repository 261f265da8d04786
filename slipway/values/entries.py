"""One model of the catalogue: everything that a release of it needs to know."""

from typing import Literal

from pydantic import Field

from slipway.values.aliases import PromotionTarget
from slipway.values.artifacts import Recipe
from slipway.values.base import Value
from slipway.values.decisions import Gates
from slipway.values.sources import Source
from slipway.values.versions import Contract


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
        source: Where its weights come from.
        recipe: How its artifact is made.
        wrappers: The contracts.
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
    def goal(self) -> PromotionTarget:
        """How far a candidate that passes goes by itself."""
        waits = self.approval == "manual" and self.aliases == "champion"
        return "approval" if waits else self.aliases
