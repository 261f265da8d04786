"""A switch is watched: every case of figures has one verdict, and a rollback says its figures."""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.logging import disable_run_logger

from slipway.errors import Unreachable
from slipway.redeploy import model_server
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
from slipway.serving.server_file import Address
from slipway.values import SwitchLimits
from tasks import watch_switch
from tests.support.network import free_port

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
    """Ten; one that comes late is followed by the next that is due, also when the time is over.

    But not for good, where no look has its figures.
    """
    switch = WatchedSwitch(
        model="tiny", version=4, before=3, at=AT, server=1, start=figures(), reference=GOOD
    )

    looks = [switch.next_look(LIMITS, AT + timedelta(minutes=past)) for past in (0, 3.5, 9.9, 19.9)]

    assert looks == [(number, AT + timedelta(minutes=number)) for number in (1, 4, 10, 20)]
    assert switch.next_look(LIMITS, AT + timedelta(minutes=20)) is None


@pytest.mark.parametrize("silent", ["MLflow", "the model server"])
@pytest.mark.parametrize("past_minutes", [3.5, 10.5])
def test_a_look_that_fails_is_followed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent: str, past_minutes: float
) -> None:
    """The switch is watched until a look has its figures, also when the time is over."""
    began = datetime.now(UTC) - timedelta(minutes=past_minutes)
    switch = WatchedSwitch(
        model="tiny", version=4, before=3, at=began, server=1, start=figures(), reference=GOOD
    )
    (tmp_path / "watch.json").write_text(switch.model_dump_json(), encoding="utf-8")
    started: list[Any] = []
    versions = SimpleNamespace(champion=lambda _: 4, state=lambda *_: None)
    closed = Address(pid=1, host="127.0.0.1", port=free_port(), workers=1)

    def registry() -> Any:
        if silent == "MLflow":
            raise Unreachable(silent, "address", "reason")
        return versions

    monkeypatch.setattr(watch_switch, "server_folder", lambda _: tmp_path)
    monkeypatch.setattr(watch_switch, "_limits", lambda _: LIMITS)
    monkeypatch.setattr(watch_switch, "registry", registry)
    monkeypatch.setattr(watch_switch, "start_run", lambda *_, at: started.append(at))
    monkeypatch.setattr(model_server, "find", lambda _: closed)
    for _ in range(2):  # a retry of the task
        with disable_run_logger(), pytest.raises(Unreachable, match=f"^{silent} at .* not answer"):
            watch_switch.look.fn("tiny")

    due = began + timedelta(minutes=math.ceil(past_minutes))
    assert started == [due, due]
    assert (tmp_path / "watch.json").is_file()


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
