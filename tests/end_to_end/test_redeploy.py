"""What serves follows the alias, and nobody who asks the server meanwhile notices."""

from collections.abc import Iterator
from typing import Any

import pytest
from line import Yard
from traffic import Traffic, traffic
from wharf import Wharf, marked, running

from flows.reconcile import reconcile
from flows.redeploy import redeploy
from slipway.redeploy import Redeployed, Unchanged

REDEPLOYS = 3
MARKS = {"ⓐ": marked("ⓐ"), "ⓑ": marked("ⓑ")}


@pytest.fixture(scope="module")
def wharf(released: tuple[Yard, Any]) -> Iterator[Wharf]:
    """Give the tests of this module a server of the released version, with two workers."""
    yard, release = released
    with running(Wharf(yard, release), version=1, workers=2) as place:
        yield place


def test_requests_and_streams_go_on_while_versions_change(wharf: Wharf) -> None:
    """None fails, each is answered by one version, and a stream ends on the one that began it."""
    marks = {wharf.add(edit): mark for mark, edit in MARKS.items()}
    versions = [list(marks)[number % 2] for number in range(REDEPLOYS)]

    with traffic(wharf.url) as seen:
        outcomes = []
        for version in versions:
            wharf.move(version)
            outcomes.append(redeploy("tiny"))

    show(seen, outcomes)
    assert_enough(seen, versions)
    assert seen.faults == []
    assert [each.version for each in outcomes if isinstance(each, Redeployed)] == versions
    assert_whole(seen, marks)
    assert wharf.serves() == {versions[-1]}


def show(seen: Traffic, outcomes: list[Any]) -> None:
    """Print the figures, for whoever runs this with ``-s``."""
    slowest = max(each.seconds for each in seen.outcomes)
    figures = (
        f"{len(outcomes)} redeploys, {len(seen.outcomes)} requests, "
        f"{len(seen.streams)} of them streams, {len(seen.faults)} failed; slowest {slowest:.1f} s"
    )
    print("", figures, *outcomes, sep="\n")  # noqa: T201 - figures for people


def assert_enough(seen: Traffic, versions: list[int]) -> None:
    """Fail where too little was seen to say anything."""
    assert len(seen.outcomes) >= 20 * len(versions)
    assert len(seen.streams) >= 5 * len(versions)
    assert {str(version) for version in versions} <= set(seen.versions)


def assert_whole(seen: Traffic, marks: dict[int, str]) -> None:
    """Check that every answer bears the mark of the version in its header, and no other."""
    for each in seen.outcomes:
        found = {mark for mark in marks.values() if mark in each.text}
        expected = marks.get(int(each.version or 0))
        assert found == ({expected} if expected else set()), each


def test_nothing_is_done_where_nothing_differs(wharf: Wharf) -> None:
    """Neither by a redeploy nor by the hourly look; the workers stay the same processes."""
    before = wharf.pids()

    again, looked = redeploy("tiny"), reconcile()

    assert again == Unchanged(model="tiny", reason=f"version {wharf.served()} serves already")
    assert looked == ()
    assert wharf.pids() == before


def test_a_missed_event_is_repaired_by_the_next_look(wharf: Wharf) -> None:
    """Somebody moved the alias back, and no event told of it."""
    before = wharf.served()
    wharf.move(1)

    (outcome,) = reconcile()

    assert isinstance(outcome, Redeployed)
    assert (outcome.before, outcome.version) == (before, 1)
    assert wharf.serves() == {1}


def test_without_a_server_nothing_is_done(wharf: Wharf) -> None:
    """What is said tells how to start one."""
    with wharf.hidden():
        outcome, looked = redeploy("tiny"), reconcile()

    assert isinstance(outcome, Unchanged)
    assert "no server of tiny runs" in outcome.reason
    assert looked == ()
