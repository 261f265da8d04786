"""What serves follows the alias, and nobody who asks the server meanwhile notices.

``make redeploys`` does it thirty times and prints the figures.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from flows.reconcile import reconcile
from flows.redeploy import redeploy
from slipway.errors import ServedElsewhere
from slipway.redeploy import deployment
from slipway.redeploy.values import Redeployed, Redeployment, Unchanged
from tests.support.project import Project
from tests.support.served_project import ServedProject, marked, running
from tests.support.traffic import Traffic, traffic

#: At least two: every other one is left to the hourly look, as if its event had been lost.
REDEPLOYS = int(os.environ.get("REDEPLOYS", "2"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300 + 120 * REDEPLOYS)]


@dataclass(frozen=True)
class RedeployRun:
    """Redeploys under traffic, one after the other.

    Attributes:
        seen: Every request, and how it ended.
        marks: What each version puts into its answers.
        versions: To which the alias was moved.
        outcomes: How each redeploy ended.
    """

    seen: Traffic
    marks: dict[int, str]
    versions: list[int]
    outcomes: list[Redeployment]

    def __str__(self) -> str:
        """Give the figures."""
        done = [each for each in self.outcomes if isinstance(each, Redeployed)]
        seconds = sorted(each.preflight_seconds + each.switch_seconds for each in done)
        asked = self.seen.outcomes
        return (
            f"{len(done)} redeploys: {len(asked)} requests, {len(self.seen.streams)} of them "
            f"streams, {len(self.seen.faults)} failed; a redeploy took {seconds[0]:.0f} to "
            f"{seconds[-1]:.0f} s, the slowest request {max(each.seconds for each in asked):.1f} s"
        )


@pytest.fixture(scope="module")
def served(released: tuple[Project, Any]) -> Iterator[ServedProject]:
    """Give the tests of this module a server of the released version, with two workers."""
    project, release = released
    with running(ServedProject(project, release), version=1, workers=2) as place:
        yield place


@pytest.fixture(scope="module")
def redeploys(served: ServedProject) -> RedeployRun:
    """Move the alias to and fro between two versions while people ask."""
    marks = {served.add(marked(mark)): mark for mark in ("ⓐ", "ⓑ")}
    versions = [list(marks)[number % 2] for number in range(REDEPLOYS)]
    outcomes: list[Redeployment] = []
    with traffic(served.url) as seen:
        for number, version in enumerate(versions):
            served.move(version)
            outcomes += [redeploy("tiny")] if number % 2 == 0 else reconcile()
    made = RedeployRun(seen, marks, versions, outcomes)
    print(f"\n{made}")  # noqa: T201 - figures for whoever runs this with -s
    return made


def test_no_request_fails_while_versions_change(redeploys: RedeployRun) -> None:
    """Neither a plain one nor a stream, be the connection new or kept; and there were enough."""
    count = len(redeploys.versions)

    assert len(redeploys.seen.outcomes) >= 50 * count
    assert len(redeploys.seen.streams) >= 20 * count
    assert set(redeploys.seen.versions) == {"1", *(str(version) for version in redeploys.versions)}
    assert redeploys.seen.faults == []


def test_an_answer_is_of_one_version_from_its_header_to_its_end(redeploys: RedeployRun) -> None:
    """Every piece of text bears its version's mark, and that is the version of the header."""
    marks, wrong = {"1": "", **{str(key): mark for key, mark in redeploys.marks.items()}}, []

    for each in redeploys.seen.outcomes:
        expected = marks[each.version or ""]
        found = {mark for mark in redeploys.marks.values() if mark in each.text}
        if found != ({expected} if expected else set()):
            wrong.append(each)

    assert wrong == []


def test_each_version_served_when_its_redeploy_was_over(
    served: ServedProject, redeploys: RedeployRun
) -> None:
    """After an event, and where an event was missed: the next look repaired that."""
    done = [each.version for each in redeploys.outcomes if isinstance(each, Redeployed)]

    assert done == redeploys.versions
    assert served.serves() == {redeploys.versions[-1]}


def test_nothing_is_done_where_nothing_differs(
    served: ServedProject, redeploys: RedeployRun
) -> None:
    """Neither by a redeploy nor by the hourly look; the workers stay the same processes."""
    before = served.pids()

    again, looked = redeploy("tiny"), reconcile()

    assert again == Unchanged(model="tiny", reason=f"version {served.served()} is already serving")
    assert looked == ()
    assert served.pids() == before


def test_a_redeploy_killed_between_two_workers_is_finished_by_the_next(
    served: ServedProject, redeploys: RedeployRun
) -> None:
    """One worker answers with the new version, one with the old; nobody's request fails.

    What is killed is a process in the step that switches, after the preflight.
    """
    before, version = served.served(), min(set(redeploys.marks) - {served.served()})
    code = (
        "import sys; from pathlib import Path; from slipway.redeploy import rolling_switch;"
        "switch = rolling_switch.RollingSwitch('tiny', Path(sys.argv[1]), int(sys.argv[2]), 60);"
        "switch.to(int(sys.argv[3]))"
    )
    step = [sys.executable, "-c", code, str(served.folder), str(before), str(version)]
    with traffic(served.url, plain=1, streaming=1) as seen:
        served.move(version)
        switching = subprocess.Popen(step)
        while served.serves() != {before, version}:
            assert switching.poll() is None, "it was over before it could be killed"
        switching.kill()
        switching.wait()
        outcome = redeploy("tiny")

    assert served.serves() == {version}
    assert seen.faults == []
    assert set(seen.versions) == {str(before), str(version)}
    assert redeploy("tiny") == Unchanged(
        model="tiny", reason=f"version {version} is already serving"
    ), outcome


def test_without_a_server_nothing_is_done(served: ServedProject) -> None:
    """The reason says so."""
    with served.hidden():
        outcome, looked = redeploy("tiny"), reconcile()

    assert isinstance(outcome, Unchanged)
    assert "no server of tiny is running" in outcome.reason
    assert looked == ()


def test_a_server_that_is_out_of_reach_fails_the_redeploy(
    served: ServedProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers, and none of its processes are here, as in another container."""
    monkeypatch.setattr(deployment, "START_SECONDS", 0.0)
    monkeypatch.setenv("SLIPWAY_SERVING_URL", served.url)

    with served.hidden(), pytest.raises(ServedElsewhere, match="SLIPWAY_SERVING_HOST"):
        redeploy("tiny")
