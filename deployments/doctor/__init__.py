"""``slipway doctor``: checks of this machine and of the services on it. Changes nothing."""

from deployments.doctor.check import Diagnosis
from deployments.doctor.machine import machine_checks
from deployments.doctor.running import running_checks
from slipway.settings import Settings


def examine(settings: Settings) -> tuple[Diagnosis, ...]:
    """Return every check; a check comes after those that may explain its result."""
    return (*machine_checks(settings), *running_checks(settings))
