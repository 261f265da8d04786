"""Nobody does anything: a commit on the Hub is released, promoted, redeployed, and answers.

One machine runs everything (``slipway up``) and follows a Hub. From the first version on, people
ask its model server all the time, and none of them may notice what happens behind it.
"""

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from slipway.system.network import answers
from tests.support.full_stack import AUTH, Running, running
from tests.support.hub import LocalHub, Webhook
from tests.support.message_server import message_server
from tests.support.project import Project
from tests.support.tiny_phi3 import write_checkpoint
from tests.support.traffic import Traffic, traffic

REPO = "acme/tiny"
SHARED = "what only the Hub and we know"
DELIVERIES = 100

BLOCK = """
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from deployments.apply import signed_in
from slipway.settings import Settings
with signed_in(Settings()):
    message = {{"title": "{{{{subject}}}}", "text": "{{{{body}}}}"}}
    CustomWebhookNotificationBlock(name="people", url="{url}", json_data=message).save("people")
"""

#: From the commit to the first answer, on top of what building takes.
MARGIN_SECONDS = 60
#: How often sources are watched here, since a test has not the 15 minutes of ``prefect.yaml``.
WATCH_SECONDS = 20
_SCHEDULER_SECONDS = 90  # a loaded machine takes its time
_PATIENCE_SECONDS = 400  # on a machine that has other work

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(900)]


@dataclass
class Place:
    """A machine that runs everything, and a Hub that it follows.

    Attributes:
        everything: The machine.
        hub: Where commits are pushed to.
        letters: Messages that people got, who asked for them.
        seen: What people asked since the first version serves.
    """

    everything: Running
    hub: LocalHub
    letters: list[Any]
    seen: Traffic = field(default_factory=Traffic)

    def commit(self, number: int) -> str:
        """Push other weights that answer the same, and return the commit."""
        folder = self.everything.home.parent / f"weights-{number}"
        return self.hub.push(REPO, write_checkpoint(folder, seed=number))

    def runs(self, deployment: str) -> list[dict[str, Any]]:
        """Return the flow runs of a deployment that have ended."""
        return _runs(self.everything, deployment, "COMPLETED", "FAILED", "CRASHED")

    def releases(self, commit: str) -> list[dict[str, Any]]:
        """Return the runs that looked at a commit; their names say at which."""
        return [run for run in self.runs("release-model") if f"tiny@{commit[:8]}" in run["name"]]

    def wait_until_served(self, version: int) -> float:
        """Return after how many seconds people were answered by ``version`` alone."""
        begun, first = time.monotonic(), len(self.seen.outcomes)
        while (seconds := time.monotonic() - begun) < _PATIENCE_SECONDS:
            latest = self.seen.outcomes[first:][-8:]
            if len(latest) == 8 and {each.version for each in latest} == {str(version)}:
                return seconds
            time.sleep(0.2)
        raise AssertionError(self.everything.logs())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Iterator[Place]:
    """Run everything, push a first commit, and let people ask once it serves."""
    folder = tmp_path_factory.mktemp("itself")
    hub = LocalHub(folder / "hub")
    variables = {
        "SLIPWAY_HUB_WEBHOOK_SECRET": SHARED,
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",  # it sees changed schedules then
    }
    with (
        message_server() as received,
        hub.serve() as remote,
        running(
            folder, checkpoint, variables, arrange=partial(_follow, endpoint=remote.endpoint)
        ) as everything,
    ):
        hub.webhooks.append(Webhook(f"{everything.url('receiver')}/hooks/hub", SHARED))
        place = Place(everything, hub, received.messages)
        place.commit(1)
        _ask_for_messages(everything, received.url)
        everything.wait_until_it_serves()
        serving = everything.url("serving")
        with traffic(serving, plain=1, streaming=1, pause_seconds=0.2) as place.seen:
            yield place


def _follow(project: Project, endpoint: str) -> None:
    project.follow(f'repo = "{REPO}", endpoint = "{endpoint}"')


def _ask_for_messages(everything: Running, url: str) -> None:
    """Make a notification block, as in the Prefect UI, and name it in the settings."""
    done = everything.command("-c", BLOCK.format(url=url))
    assert done.returncode == 0, done.stderr
    wanted = {"SLIPWAY_NOTIFY_BLOCK": "custom-webhook/people"}
    done = everything.command("-m", "deployments.apply", **wanted)
    assert done.returncode == 0, done.stderr


def _build_seconds(run: dict[str, Any]) -> float:
    begun, ended = (datetime.fromisoformat(run[name]) for name in ("start_time", "end_time"))
    return (ended - begun).total_seconds()


def test_a_commit_answers_within_a_minute_of_its_build(place: Place) -> None:
    """The Hub tells of it, a hundred times over; it is built once, and nobody's request fails."""
    commit = place.commit(2)
    for _ in range(DELIVERIES - 1):
        place.hub.webhooks[0].send(REPO, "main", None, commit)

    seconds = place.wait_until_served(2)

    (run,) = place.releases(commit)
    build = _build_seconds(run)
    print(f"\ntold by a webhook: answers {seconds:.0f} s after the commit, built in {build:.0f} s")  # noqa: T201
    assert run["state_type"] == "COMPLETED"
    assert seconds <= build + MARGIN_SECONDS


def test_an_event_that_comes_again_releases_nothing(place: Place) -> None:
    """Not even past the receiver, which would know it: whoever looks finds the release there."""
    commit = place.hub.repository(REPO).resolve("main").id
    looks = len(place.runs("watch-sources"))
    resource = {"prefect.resource.id": "slipway.model.tiny", "slipway.model": "tiny"}
    event = {"event": "slipway.source.changed", "resource": resource}

    for _ in range(2):
        identity = {"id": str(uuid.uuid4()), "occurred": datetime.now(UTC).isoformat()}
        place.everything.prefect("/events", [event | identity])

    deadline = time.monotonic() + _PATIENCE_SECONDS
    while len(place.runs("watch-sources")) < looks + 2:
        assert time.monotonic() < deadline, place.everything.logs()
        time.sleep(0.5)
    assert len(place.releases(commit)) == 1


def test_with_every_webhook_lost_the_watch_finds_it(place: Place) -> None:
    """Neither the Hub nor MLflow tells anything; it takes one interval more, and no person."""
    place.hub.webhooks.clear()
    _forget_mlflow_webhook(place.everything)
    _watch_every(place.everything, WATCH_SECONDS)

    commit = place.commit(3)

    seconds = place.wait_until_served(3)
    (run,) = place.releases(commit)
    build = _build_seconds(run)
    print(f"\ntold by nobody: answers {seconds:.0f} s after the commit, built in {build:.0f} s")  # noqa: T201
    assert seconds <= WATCH_SECONDS + build + MARGIN_SECONDS


def _runs(everything: Running, deployment: str, *states: str) -> list[dict[str, Any]]:
    asked = {
        "deployments": {"name": {"any_": [deployment]}},
        "flow_runs": {"state": {"type": {"any_": states}}},
    }
    found: list[dict[str, Any]] = everything.prefect("/flow_runs/filter", asked)
    return found


def _watch_every(everything: Running, seconds: int) -> None:
    (watch,) = everything.prefect(
        "/deployments/filter", {"deployments": {"name": {"any_": ["watch-sources"]}}}
    )
    (schedule,) = watch["schedules"]
    everything.prefect(
        f"/deployments/{watch['id']}/schedules/{schedule['id']}",
        {"schedule": {"interval": seconds, "timezone": "UTC"}},
        "PATCH",
    )
    deadline = time.monotonic() + _SCHEDULER_SECONDS
    while len(_runs(everything, "watch-sources", "SCHEDULED")) < 3:  # those of the new interval
        assert time.monotonic() < deadline, everything.logs()
        time.sleep(0.5)


def _forget_mlflow_webhook(everything: Running) -> None:
    address = f"{everything.url('mlflow')}/api/2.0/mlflow/webhooks"
    user, _, password = AUTH.partition(":")
    with httpx.Client(auth=(user, password)) as client:
        for each in client.get(address).json()["webhooks"]:
            client.delete(f"{address}/{each['webhook_id']}").raise_for_status()


def test_people_who_asked_for_messages_got_one(place: Place) -> None:
    """Of each promotion since; nothing failed, so there is no other."""
    titles = [letter["title"] for letter in place.letters]

    assert set(titles) == {"Slipway: a model was promoted"}
    assert any('"version": 3' in letter["text"] for letter in place.letters)


def test_nobody_noticed(place: Place) -> None:
    """Every request of those minutes was answered, by one of the three versions."""
    asked = place.seen.outcomes

    print(f"\n{len(asked)} requests, {len(place.seen.streams)} of them streams")  # noqa: T201
    assert len(place.seen.streams) > 100
    assert set(place.seen.versions) == {"1", "2", "3"}
    assert place.seen.faults == []


def lives(process: psutil.Process) -> bool:
    """Tell whether a process runs; one that has ended may stay listed until its parent looks."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_ctrl_c_stops_every_process(place: Place) -> None:
    """Of servers, worker and model server, and those that they started."""
    everything = place.everything
    family = everything.look()
    assert len(family) >= 6

    code = everything.interrupt()

    assert code == 0
    assert [each for each in family if lives(each)] == []
    assert "stopped" in everything.said.read_text(encoding="utf-8")
    assert not any(answers(everything.url(server)) for server in ("prefect", "mlflow", "serving"))
