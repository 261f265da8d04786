"""Is this machine fit, and is what should run on it running? Looks, and changes nothing."""

from deployments.doctor.check import Diagnosis, Status
from deployments.doctor.machine import machine_checks
from deployments.doctor.running import running_checks
from slipway.settings import Settings

__all__ = ["Check", "Status", "examine"]


def examine(settings: Settings) -> tuple[Diagnosis, ...]:
    """Return every check, in the order in which faults explain each other."""
    return (*machine_checks(settings), *running_checks(settings))
