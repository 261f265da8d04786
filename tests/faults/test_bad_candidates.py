"""A champion that must not serve never does: what serves goes on, and the registry says why."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from flows.redeploy import redeploy
from flows.watch_switch import watch_switch
from slipway.errors import MachineTooSmall
from slipway.redeploy import deployment, watch_record
from slipway.redeploy.switch_watch import KeepWatching, RollBackSwitch, WatchEnded
from slipway.redeploy.values import DeployRejected, Redeployed, Unchanged
from tests.support.bad_versions import BAD, FAILS_LATER, LATENCY_MS, MEMORY_GB, Bad
from tests.support.project import Project
from tests.support.served_project import ServedProject, running
from tests.support.traffic import traffic

pytestmark = pytest.mark.slow
NO_CHAMPION = "tiny has no champion; version 1 is still serving"


@dataclass
class Table:
    """What became of each candidate."""

    rows: list[tuple[str, int, int, int, str]] = field(default_factory=list)

    def show(self) -> None:
        """Print it, for whoever runs this with ``-s``."""
        print(f"\n{'a candidate that':34} asked failed serves  what was done")  # noqa: T201
        for kind, asked, failed, serves, done in self.rows:
            print(f"{kind:34} {asked:5} {failed:6} {serves:6}  {done}")  # noqa: T201


@pytest.fixture(scope="module")
def served(released: tuple[Project, Any]) -> Iterator[ServedProject]:
    """Give the tests a server of the released version, with a single worker."""
    project, release = released
    project.limit(f"median_latency_ms = {{ max = {LATENCY_MS} }}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIPWAY_STEP_MEMORY_GB", str(MEMORY_GB))
        with running(ServedProject(project, release), version=1, workers=1) as place:
            yield place


@pytest.fixture(scope="module")
def table() -> Iterator[Table]:
    """Collect what became of each candidate, and print it at the end."""
    rows = Table()
    yield rows
    rows.show()


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.kind)
def test_a_bad_candidate_is_quarantined_and_nobody_notices(
    served: ServedProject, table: Table, bad: Bad, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request fails, the old version serves, and alias and quarantine tell the truth."""
    monkeypatch.setenv("SLIPWAY_LOAD_TIMEOUT_SECONDS", str(bad.load_seconds))
    version = served.add(bad.edit, tags=dict(bad.tags), spoil=bad.spoil)
    pids = served.pids()

    with traffic(served.url, plain=1, streaming=1) as seen:
        served.move(version)
        outcome = redeploy("tiny")
        seen.wait_for(10)

    reason = outcome.reason if isinstance(outcome, DeployRejected) else str(outcome)
    table.rows.append((bad.kind, len(seen.outcomes), len(seen.faults), served.served(), reason))
    assert isinstance(outcome, DeployRejected)
    assert (outcome.version, outcome.serving) == (version, 1)
    assert bad.reason in reason
    assert "\n" not in reason
    assert seen.faults == []
    assert set(seen.versions) == {"1"}
    assert served.pids() == pids
    assert served.champions() == [1, 1]
    assert reason[:100] in (served.quarantine(version) or "")
    assert leftovers(served) == []


def leftovers(served: ServedProject) -> list[str]:
    """Return what preflights left in the server's folder."""
    return [path.name for path in served.folder.glob("preflight-*")]


def test_a_quarantined_version_is_not_tried_again(served: ServedProject) -> None:
    """Somebody moves the alias to it once more: it is moved back at once."""
    version = 2
    served.move(version)

    outcome = redeploy("tiny")

    assert isinstance(outcome, DeployRejected)
    assert "it is quarantined" in outcome.reason
    assert served.champions() == [1, 1]


def test_where_neither_may_serve_the_old_one_goes_on_without_a_champion(
    served: ServedProject,
) -> None:
    """Somebody quarantined what serves, and the champion is bad too: that is said once."""
    client = served.project.registry().client
    served.move(2)
    client.set_model_version_tag("tiny", "1", "slipway.quarantined", "bob: it is rude")
    try:
        outcome, again = redeploy("tiny"), redeploy("tiny")

        assert isinstance(outcome, DeployRejected)
        assert again == Unchanged(model="tiny", reason=NO_CHAMPION)
        assert served.champions() == [None, None]
        assert served.served() == 1
    finally:
        client.delete_model_version_tag("tiny", "1", "slipway.quarantined")
        served.move(1)


def test_a_version_that_fails_after_its_switch_is_rolled_back_once(served: ServedProject) -> None:
    """Golden prompts find no fault; people's prompts do. The history has the figures."""
    with served.project.catalogue.open("a", encoding="utf-8") as catalogue:
        catalogue.write("\n[models.tiny.watch]\nerror_rate = 0.02\n")
    version = served.add(FAILS_LATER)
    served.move(version)
    redeployed = redeploy("tiny")
    early = watch_switch("tiny")

    statuses = {ask(served, "a planted fault") for _ in range(20)}
    late, again = watch_switch("tiny"), watch_switch("tiny")
    change = served.project.registry().changes("tiny")[-1]
    back = redeploy("tiny")

    figures = "20 of 20 requests failed (limit 2.0%; of the version before 0 of "
    assert isinstance(redeployed, Redeployed)
    assert isinstance(early, KeepWatching)
    assert statuses == {500}
    assert isinstance(late, RollBackSwitch)
    assert late.reason.startswith(figures)
    assert again == WatchEnded(reason="no switch is being watched")
    assert (change.kind, change.audit.actor, change.audit.reason) == (
        "rollback",
        "watch",
        late.reason,
    )
    assert served.champions() == [1, 1]
    assert figures in (served.quarantine(version) or "")
    assert isinstance(back, Redeployed)
    assert served.served() == 1
    assert watch_record.pending(served.folder) is None


def ask(served: ServedProject, text: str) -> int:
    """Return the status of the response to a prompt."""
    body = {"model": "tiny", "prompt": text, "max_tokens": 2}
    return httpx.post(f"{served.url}/v1/completions", json=body, timeout=60).status_code


def test_a_machine_without_room_for_two_says_so(
    served: ServedProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is started, nothing is quarantined, and the error says what to do."""
    version = served.add()
    served.move(version)
    monkeypatch.setattr(deployment, "needed_bytes", lambda _size_bytes: 10**15)

    with pytest.raises(MachineTooSmall, match="free some memory and redeploy again"):
        redeploy("tiny")

    assert served.served() == 1
    assert served.champions() == [version, version]
    assert served.quarantine(version) is None
