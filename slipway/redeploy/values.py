"""What is served, what should be, what is decided, and how a redeploy ended."""

from typing import Annotated, Literal

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
