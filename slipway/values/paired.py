"""Two models that were asked the same prompts."""

from slipway.values.base import Value


class PairedCounts(Value):
    """What a candidate lost and gained against another model.

    Attributes:
        compared: Prompts that could be lost.
        lost: Of these, the prompts that the candidate answers worse.
        gained: Those that it answers better.
        others: Prompts that both were asked as well, of which none was lost or gained.
    """

    compared: int
    lost: int
    gained: int
    others: int = 0


class SuitePower(Value):
    """How much a suite of prompts can find out.

    Attributes:
        prompts: Prompts with an expectation: the others are lost only by an error or a check.
        margin: The loss that has to be found, as a share of the prompts.
        found: Share of releases in which this loss is found.
        false_alarms: Share of releases that are blocked although nothing was lost.
        suffices: Whether the loss is found in 80 % of releases.
        needed: Prompts with which it is; None if 10,000 do not suffice.
    """

    prompts: int
    margin: float
    found: float
    false_alarms: float
    suffices: bool
    needed: int | None
