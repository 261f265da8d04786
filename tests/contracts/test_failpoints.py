"""Every step that changes something can be interrupted, and a test does so."""

import os
import signal
import subprocess
import sys
from collections import Counter

from slipway.system.failpoints import failpoint
from tests.support.crashes import PLACES, failpoints
from tests.support.project import PROJECT


def test_each_failpoint_has_a_name_of_its_own_and_a_test() -> None:
    """The sources are read, so that a new one is not forgotten."""
    names = Counter(failpoints())

    assert len(names) >= 30
    assert [name for name, count in names.items() if count > 1] == []
    assert {name.partition(".")[0] for name in names} == PLACES.keys()
    assert [
        name
        for name in names
        if name.partition(".")[2].partition("-")[0] not in {"before", "after"}
    ] == []


def test_a_failpoint_does_nothing_unless_the_environment_names_it() -> None:
    """Named, it kills the process at once: nothing after it is done, not even the cleaning up."""
    program = "from slipway.system.failpoints import failpoint\n"
    program += "try:\n    failpoint('a.before-b')\nfinally:\n    print('cleaned up')"
    for named, status in (("", 0), ("a.after-b", 0), ("a.before-b", -signal.SIGKILL)):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"SLIPWAY_FAILPOINT": named, "PYTHONPATH": str(PROJECT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status
        assert done.stdout == ("cleaned up\n" if status == 0 else "")
        assert done.stderr == ("" if status == 0 else "slipway: killed at a.before-b\n")


def test_a_failpoint_costs_nothing_that_a_release_would_notice() -> None:
    """A hundred thousand of them take less than a second."""
    from timeit import timeit

    assert timeit(lambda: failpoint("a.before-b"), number=100_000) < 1
