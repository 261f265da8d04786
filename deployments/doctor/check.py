"""The result of one check."""

from typing import Literal

from slipway.values import Value


class Diagnosis(Value):
    """One row of the doctor's table.

    Attributes:
        name: What was checked.
        status: ``warn`` works and needs attention, ``fail`` does not work.
        finding: What was found.
        advice: What to do about it; empty if the status is ``ok``.
    """

    name: str
    status: Literal["ok", "warn", "fail"]
    finding: str
    advice: str = ""

    @property
    def result(self) -> str:
        """Finding and advice, as the table shows them."""
        return f"{self.finding}\n→ {self.advice}" if self.advice else self.finding


def ok(name: str, finding: str) -> Diagnosis:
    """Return that the check passed."""
    return Diagnosis(name=name, status="ok", finding=finding)


def warn(name: str, finding: str, advice: str) -> Diagnosis:
    """Return that it works and needs attention."""
    return Diagnosis(name=name, status="warn", finding=finding, advice=advice)


def fail(name: str, finding: str, advice: str) -> Diagnosis:
    """Return that it does not work."""
    return Diagnosis(name=name, status="fail", finding=finding, advice=advice)
