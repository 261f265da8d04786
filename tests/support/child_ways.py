"""The two ways in which a call starts its child, and whether a process has ended."""

import time

import psutil
import pytest

from slipway.system import fork_server

#: What a server has imported before it forks a child of a test.
MODULES = ("tests.support.child_functions",)

_POLLS, _POLL_SECONDS = 300, 0.1


class EveryStep(dict[str, tuple[str, ...]]):
    """The same modules for a step of any name."""

    def get(self, _step: str, _default: object = None) -> tuple[str, ...]:  # type: ignore[override]
        """Return the modules."""
        return MODULES


@pytest.fixture(params=["new process", "forked"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test with children that are started anew, and with children that are forked."""
    preloaded = EveryStep() if request.param == "forked" else {}
    monkeypatch.setattr(fork_server, "PRELOADED", preloaded)
    return str(request.param)


def gone(pid: int) -> bool:
    """Tell whether a process has ended; the system may take a while to end it."""
    for _ in range(_POLLS):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(_POLL_SECONDS)
    return False
