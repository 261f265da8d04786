"""The time of the processor, for tests of what a command costs: the machine may have other work."""

import os


def children_seconds() -> float:
    """Return what this process's children took of the processor so far."""
    times = os.times()
    return times.children_user + times.children_system
