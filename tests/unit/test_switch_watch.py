"""A switch is watched: every case of figures has one verdict, and a rollback says its figures."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from slipway.redeploy.switch_watch import (
    KeepWatching,
    Registered,
    RollBackSwitch,
    WatchedSwitch,
    WatchEnded,
    judge,
)
from slipway.redeploy.values import ServedFigures
from slipway.redeploy.watch_record import figures_on
from slipway.values import SwitchLimits

AT = datetime(2026, 11, 29, 12, tzinfo=UTC)
SOON, LATER = AT + timedelta(minutes=3), AT + timedelta(minutes=11)
LIMITS = SwitchLimits(minutes=10, error_rate=0.02, p95_ttft_ms=1000)
CHAMPION = Registered(champion=4, obstacle=None)
EDGES = (0.1, 0.5, 1.0, 2.0, 5.0)


def figures(answered: int = 0, failed: int = 0, *, seconds: float = 0.2) -> ServedFigures:
    """Return the figures of a version whose first tokens all came just before ``seconds``."""
    counts = tuple((edge, answered if edge >= seconds else 0) for edge in EDGES)
    return ServedFigures(answered=answered, failed=failed, first_tokens=counts)


def verdict(new: ServedFigures, before: ServedFigures, **changes: Any) -> Any:
    """Return the verdict on version 4, which replaced version 3."""
    fields = {"limits": LIMITS, "registered": CHAMPION, "now": SOON} | changes
    switch = WatchedSwitch(
        model="tiny", version=4, before=3, at=AT, server=1, start=figures(), reference=before
    )
    return judge(switch, figures=new, **fields)


GOOD = figures(1000)


@pytest.mark.parametrize(
    ("new", "before", "reason"),
    [
        pytest.param(
            figures(20, 20),
            GOOD,
            "20 of 40 requests failed (limit 2.0%; of the version before 0 of 1000)",
            id="it fails more",
        ),
        pytest.param(
            figures(0, 20),
            figures(),
            "20 of 20 requests failed (limit 2.0%; of the version before 0 of 0)",
            id="it fails, and the version before was not asked",
        ),
        pytest.param(
            figures(100, seconds=5),
            GOOD,
            "95 % of first tokens came within 4850 ms (limit 1000 ms; of the version before "
            "480 ms; 100 answers)",
            id="it is slower",
        ),
    ],
)
@pytest.mark.parametrize("now", [SOON, LATER])
def test_a_version_that_serves_worse_than_it_may_is_rolled_back(
    new: ServedFigures, before: ServedFigures, reason: str, now: datetime
) -> None:
    """As soon as that is sure, or at the last look; with its figures."""
    found = verdict(new, before, now=now)

    assert found == RollBackSwitch(version=4, reason=reason)


@pytest.mark.parametrize(
    ("new", "before"),
    [
        pytest.param(figures(), GOOD, id="no traffic"),
        pytest.param(figures(0, 19), GOOD, id="too little traffic"),
        pytest.param(figures(1000), GOOD, id="as good"),
        pytest.param(figures(190, 5), GOOD, id="more failures than may be, perhaps by chance"),
        pytest.param(figures(20, 20), figures(10, 30), id="the version before failed more"),
        pytest.param(figures(100, seconds=2), figures(100, seconds=5), id="that one was slower"),
        pytest.param(figures(100, seconds=5), figures(), id="slow, but slower than what?"),
        pytest.param(figures(100, seconds=1.0), GOOD, id="slower, within the limit"),
    ],
)
def test_without_a_sure_fault_the_version_stays(new: ServedFigures, before: ServedFigures) -> None:
    """It is watched until the time is over."""
    assert isinstance(verdict(new, before), KeepWatching)
    assert isinstance(verdict(new, before, now=LATER), WatchEnded)


def test_a_watch_without_enough_traffic_says_so() -> None:
    """No traffic means no verdict."""
    found = verdict(figures(), GOOD, now=LATER)

    assert found.reason == (
        "0 of 0 requests were answered within 10 minutes; no verdict on fewer than 20"
    )


@pytest.mark.parametrize(
    ("registered", "reason"),
    [
        (Registered(champion=5, obstacle=None), "version 4 is not the champion any more"),
        (Registered(champion=None, obstacle=None), "version 4 is not the champion any more"),
        (
            Registered(champion=4, obstacle="is quarantined"),
            "version 3, which served before, is quarantined",
        ),
        (Registered(champion=4, obstacle="is gone"), "version 3, which served before, is gone"),
    ],
)
def test_there_is_no_rollback_where_there_is_no_way_back(
    registered: Registered, reason: str
) -> None:
    """Somebody moved the alias, or the version before may not serve."""
    assert verdict(figures(0, 100), GOOD, registered=registered) == WatchEnded(reason=reason)


def test_a_limit_that_is_not_there_limits_nothing() -> None:
    """Each alone."""
    failing, slow = figures(20, 20), figures(100, seconds=5)
    errors, times = SwitchLimits(error_rate=0.02), SwitchLimits(p95_ttft_ms=1000)

    assert isinstance(verdict(failing, GOOD, limits=times), KeepWatching)
    assert isinstance(verdict(slow, GOOD, limits=errors), KeepWatching)


def test_looks_are_spread_over_the_time() -> None:
    """Ten, the last when it is over; one that comes late is followed by the next that is due."""
    switch = WatchedSwitch(
        model="tiny", version=4, before=3, at=AT, server=1, start=figures(), reference=GOOD
    )

    looks = [switch.next_look(LIMITS, AT + timedelta(minutes=past)) for past in (0, 3.5, 9.9)]

    assert looks == [(number, AT + timedelta(minutes=number)) for number in (1, 4, 10)]


def test_figures_are_those_of_one_version_since_the_switch() -> None:
    """Over all operations; what a client spoiled or left counts neither way."""
    page = """\
# TYPE gen_ai_server_request_duration_seconds histogram
gen_ai_server_request_duration_seconds_count{gen_ai_response_model="tiny:4",error_type=""} 7.0
gen_ai_server_request_duration_seconds_count{gen_ai_response_model="tiny:4",error_type="500"} 2.0
gen_ai_server_request_duration_seconds_count{gen_ai_response_model="tiny:4",error_type="504"} 1.0
gen_ai_server_request_duration_seconds_count{gen_ai_response_model="tiny:4",error_type="400"} 9.0
gen_ai_server_request_duration_seconds_count{gen_ai_response_model="tiny:4",error_type="499"} 9.0
gen_ai_server_request_duration_seconds_count{gen_ai_response_model="tiny:3",error_type=""} 9.0
# TYPE gen_ai_server_time_to_first_token_seconds histogram
gen_ai_server_time_to_first_token_seconds_bucket{gen_ai_response_model="tiny:4",le="0.1"} 3.0
gen_ai_server_time_to_first_token_seconds_bucket{gen_ai_response_model="tiny:4",le="1.0"} 7.0
gen_ai_server_time_to_first_token_seconds_bucket{gen_ai_response_model="tiny:4",le="+Inf"} 7.0
"""
    start = ServedFigures(answered=2, failed=1, first_tokens=((0.1, 1), (1.0, 2)))

    found = figures_on(page, "tiny:4").since(start)

    assert found == ServedFigures(answered=5, failed=2, first_tokens=((0.1, 2), (1.0, 5)))
    assert figures_on(page, "tiny:5") == ServedFigures()


def test_a_version_that_served_nothing_has_no_times() -> None:
    """Nothing is divided by it."""
    assert (ServedFigures().quantile(0.95), ServedFigures().answered_within(1)) == (0, 0)
