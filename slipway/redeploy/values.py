"""What is served, what should be, what is decided, and how a redeploy ended."""

from bisect import bisect_left
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from slipway.values import Value


class Serving(Value):
    """What a model's server answers with now.

    Attributes:
        model: Name of the registered model.
        version: Version of its workers; the oldest one where they differ.
        digest: Of the loaded bytes, as the server reports it.
        workers: Number of workers.
        mixed: Whether workers of more than one version answer.
    """

    model: str
    version: int
    digest: str
    workers: int
    mixed: bool = False


class ChampionState(Value):
    """The version that the alias ``champion`` names, and what the registry says about it.

    Attributes:
        status: The tag ``slipway.status``; only ``released`` may be served.
        quarantine: Why it must not be served; None if it is not quarantined.
        size_bytes: Bytes of its files.
    """

    version: int
    status: str | None
    quarantine: str | None
    size_bytes: int = Field(ge=0)


class NoChange(Value):
    """There is nothing to do."""

    kind: Literal["no_change"] = "no_change"
    reason: str


class Reject(Value):
    """The champion must not be served, and is not even started.

    Attributes:
        version: The champion.
        serving: The served version.
        reason: One line.
    """

    kind: Literal["reject"] = "reject"
    version: int
    serving: int
    reason: str


class Deploy(Value):
    """The champion is not the served version.

    Attributes:
        version: The champion.
        serving: The served version.
        size_bytes: Bytes of the champion's files.
    """

    kind: Literal["deploy"] = "deploy"
    version: int
    serving: int
    size_bytes: int


RedeployDecision = Annotated[NoChange | Reject | Deploy, Field(discriminator="kind")]


class SwitchResult(Value):
    """How a preflight or a switch ended.

    Attributes:
        seconds: Duration.
        fault: Why the version must not be served, in one line; None if it may.
    """

    seconds: float
    fault: str | None = None


class ServedFigures(Value):
    """What a server counted of one version.

    Attributes:
        answered: Complete answers.
        failed: Requests that a fault of the server ended (5xx), also at the end of a stream.
        first_tokens: How many of the complete answers had their first token within a time in
            seconds, by that time in rising order.
    """

    answered: int = 0
    failed: int = 0
    first_tokens: tuple[tuple[float, int], ...] = ()

    @property
    def requests(self) -> int:
        """Requests that the version answered or failed."""
        return self.answered + self.failed

    def since(self, start: "ServedFigures") -> "ServedFigures":
        """Return what was counted after ``start``."""
        then = dict(start.first_tokens)
        return ServedFigures(
            answered=self.answered - start.answered,
            failed=self.failed - start.failed,
            first_tokens=tuple((edge, n - then.get(edge, 0)) for edge, n in self.first_tokens),
        )

    def answered_within(self, seconds: float) -> float:
        """Return how many first tokens came within a time, interpolated between the edges."""
        edges, counts = zip((0.0, 0), *self.first_tokens, strict=True)
        return float(np.interp(seconds, edges, counts))

    def quantile(self, share: float) -> float:
        """Return the time in seconds within which this share of the first tokens came.

        Interpolated, as ``histogram_quantile`` of Prometheus does; at most the last edge.
        """
        edges, counts = zip((0.0, 0), *self.first_tokens, strict=True)
        wanted = share * self.answered
        after = bisect_left(counts, wanted, hi=len(counts) - 1)
        if after == 0 or counts[after] <= wanted:
            return float(edges[after])
        return float(np.interp(wanted, counts[after - 1 : after + 1], edges[after - 1 : after + 1]))


class Redeployed(Value):
    """The new version is served.

    Attributes:
        model: Name of the registered model.
        before: Version that was served before.
        version: Version that is served now.
        preflight_seconds: From the start of the preflight server to its last golden answer.
        switch_seconds: From the switch to the last answer of the old version.
    """

    kind: Literal["redeployed"] = "redeployed"
    model: str
    before: int
    version: int
    preflight_seconds: float
    switch_seconds: float


class Unchanged(Value):
    """There was nothing to do."""

    kind: Literal["unchanged"] = "unchanged"
    model: str
    reason: str


class DeployRejected(Value):
    """The old version is still served; the new one is quarantined and the alias returned.

    Attributes:
        model: Name of the registered model.
        version: Version that must not be served.
        serving: The served version.
        reason: One line.
    """

    kind: Literal["rejected"] = "rejected"
    model: str
    version: int
    serving: int
    reason: str


Redeployment = Annotated[Redeployed | Unchanged | DeployRejected, Field(discriminator="kind")]
