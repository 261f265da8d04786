"""A process that lives says so, also after MLflow's server was away."""

import threading
import time

import pytest

from slipway.tracking import heartbeat


def test_a_heartbeat_does_not_wait_for_one_that_is_on_its_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its client may sleep for two minutes before it tries again; the server is back sooner."""
    monkeypatch.setattr(heartbeat, "RENEW_SECONDS", 0.05)
    begun: list[str] = []
    arrived: list[str] = []
    is_back = threading.Event()

    def write(beat: str) -> None:
        begun.append(beat)
        if len(begun) == 1:
            is_back.wait(60)
        arrived.append(beat)

    started = time.monotonic()
    with heartbeat.renewed(write):
        while len(arrived) < 2 and time.monotonic() - started < 30:
            time.sleep(0.01)
    is_back.set()

    assert len(arrived) > 1
    assert begun[0] not in arrived[:2]
