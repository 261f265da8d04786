"""What one check found."""

from typing import Literal

from slipway.values import Value

Status = Literal["ok", "warn", "fail"]


class Diagnosis(Value):
    """One line of the doctor.

    Attributes:
        name: What was looked at.
        status: ``warn`` is worth a look, ``fail`` keeps something from working.
        finding: What is so.
        advice: What to do about it; empty where all is well.
    """

    name: str
    status: Status
    finding: str
    advice: str = ""


def ok(name: str, finding: str) -> Diagnosis:
    """All is well."""
    return Diagnosis(name=name, status="ok", finding=finding)


def warn(name: str, finding: str, advice: str) -> Diagnosis:
    """Works, and is worth a look."""
    return Diagnosis(name=name, status="warn", finding=finding, advice=advice)


def fail(name: str, finding: str, advice: str) -> Diagnosis:
    """Does not work."""
    return Diagnosis(name=name, status="fail", finding=finding, advice=advice)
