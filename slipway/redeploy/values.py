"""What serves, what should, what is decided, and how a redeploy ended."""

from typing import Annotated, Literal, Protocol

from pydantic import Field

from slipway.values import Value


class Serving(Value):
    """What a model's server answers with now.

    Attributes:
        model: Name of the registered model.
        version: Version of its workers; the oldest one where they differ.
        digest: What the server says about the bytes that it loaded.
        workers: How many it has.
        mixed: Whether workers of more than one version answer.
    """

    model: str
    version: int
    digest: str
    workers: int
    mixed: bool = False


class Wanted(Value):
    """The version that the alias ``champion`` names, and what the registry says about it.

    Attributes:
        version: Its number.
        status: Its tag ``slipway.status``; only ``released`` may serve.
        quarantine: Why it must not serve; None if nothing is known against it.
        size_bytes: Bytes of its files.
    """

    version: int
    status: str | None
    quarantine: str | None
    size_bytes: int = Field(ge=0)


class NoChange(Value):
    """There is nothing to do."""

    kind: Literal["leave"] = "leave"
    reason: str


class Reject(Value):
    """The alias names a version that must not even be tried.

    Attributes:
        version: Which.
        serving: Version that serves.
        reason: Why, in one line.
    """

    kind: Literal["refuse"] = "refuse"
    version: int
    serving: int
    reason: str


class Deploy(Value):
    """The alias names another version than the one that serves.

    Attributes:
        version: Which.
        serving: Version that serves.
        size_bytes: Bytes of the candidate's files.
    """

    kind: Literal["try"] = "try"
    version: int
    serving: int
    size_bytes: int


RedeployDecision = Annotated[NoChange | Reject | Deploy, Field(discriminator="kind")]


class SwitchResult(Value):
    """How a trial or a switch went.

    Attributes:
        seconds: How long it took.
        fault: What spoke against the version, in one line; None if nothing did.
    """

    seconds: float
    fault: str | None = None


class Redeployed(Value):
    """The new version serves.

    Attributes:
        model: Name of the registered model.
        before: Version that served before.
        version: Version that serves now.
        trial_seconds: From the start of the trial server to its last golden answer.
        switch_seconds: From the switch to the last answer of the old version.
    """

    kind: Literal["redeployed"] = "redeployed"
    model: str
    before: int
    version: int
    trial_seconds: float
    switch_seconds: float


class Unchanged(Value):
    """Nothing was to be done."""

    kind: Literal["unchanged"] = "unchanged"
    model: str
    reason: str


class DeployRejected(Value):
    """The old version serves on; the new one is quarantined and the alias put back.

    Attributes:
        model: Name of the registered model.
        version: Version that must not serve.
        serving: Version that serves.
        reason: Why, in one line.
    """

    kind: Literal["refused"] = "refused"
    model: str
    version: int
    serving: int
    reason: str


Redeployment = Annotated[Redeployed | Unchanged | DeployRejected, Field(discriminator="kind")]


class Switch(Protocol):
    """A way to make another version serve while requests keep coming."""

    def __call__(self, version: int) -> None:
        """Return once no request can reach the old version any more.

        Raises:
            CandidateFailed: If that could not be done; the old version serves as before.
        """
