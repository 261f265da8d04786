"""A champion that must not serve never does: what serves goes on, and the registry says why."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from bad_candidates import BAD, LATENCY_MS, MEMORY_GB, Bad
from line import Yard
from traffic import traffic
from wharf import Wharf, marked, running

import tasks.redeploy
from flows.redeploy import redeploy
from slipway.errors import AddressTaken, MachineTooSmall
from slipway.redeploy import Redeployed, Refused, Unchanged, dock, server


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
def wharf(released: tuple[Yard, Any]) -> Iterator[Wharf]:
    """Give the tests a server of the released version, with a single worker."""
    yard, release = released
    yard.limit(f"median_latency_ms = {{ max = {LATENCY_MS} }}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIPWAY_STEP_MEMORY_GB", str(MEMORY_GB))
        with running(Wharf(yard, release), version=1, workers=1) as place:
            yield place


@pytest.fixture(scope="module")
def table() -> Iterator[Table]:
    """Collect what became of each candidate, and print it at the end."""
    rows = Table()
    yield rows
    rows.show()


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.kind)
def test_a_bad_candidate_is_quarantined_and_nobody_notices(
    wharf: Wharf, table: Table, bad: Bad, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request fails, the old version serves, and alias and quarantine tell the truth."""
    monkeypatch.setenv("SLIPWAY_LOAD_TIMEOUT_SECONDS", str(bad.load_seconds))
    version = wharf.add(bad.edit, tags=dict(bad.tags), spoil=bad.spoil)
    pids = wharf.pids()

    with traffic(wharf.url, plain=1, streaming=1) as seen:
        wharf.move(version)
        outcome = redeploy("tiny")
        seen.wait_for(10)

    reason = outcome.reason if isinstance(outcome, Refused) else str(outcome)
    table.rows.append((bad.kind, len(seen.outcomes), len(seen.faults), wharf.served(), reason))
    assert isinstance(outcome, Refused)
    assert (outcome.version, outcome.serving) == (version, 1)
    assert bad.words in reason
    assert "\n" not in reason
    assert seen.faults == []
    assert set(seen.versions) == {"1"}
    assert wharf.pids() == pids
    assert wharf.champions() == [1, 1]
    assert reason[:100] in (wharf.quarantine(version) or "")
    assert leftovers(wharf) == []


def leftovers(wharf: Wharf) -> list[str]:
    """Return what trials left in the server's folder."""
    return [path.name for path in wharf.folder.glob("trial-*")]


def test_a_quarantined_version_is_not_tried_again(wharf: Wharf) -> None:
    """Somebody moves the alias to it once more: it is moved back at once."""
    version = 2
    wharf.move(version)

    outcome = redeploy("tiny")

    assert isinstance(outcome, Refused)
    assert "it is quarantined" in outcome.reason
    assert wharf.champions() == [1, 1]


def test_where_neither_may_serve_the_old_one_goes_on_without_a_champion(wharf: Wharf) -> None:
    """Somebody quarantined what serves, and the champion is bad too: that is said once."""
    client = wharf.yard.registry().client
    wharf.move(2)
    client.set_model_version_tag("tiny", "1", "slipway.quarantined", "bob: it is rude")
    try:
        outcome, again = redeploy("tiny"), redeploy("tiny")

        assert isinstance(outcome, Refused)
        assert again == Unchanged(model="tiny", reason="tiny has no champion; version 1 serves on")
        assert wharf.champions() == [None, None]
        assert wharf.served() == 1
    finally:
        client.delete_model_version_tag("tiny", "1", "slipway.quarantined")
        wharf.move(1)


def test_a_machine_without_room_for_two_says_so(
    wharf: Wharf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is started, nothing is quarantined, and the error says what to do."""
    version = wharf.add()
    wharf.move(version)
    monkeypatch.setattr(dock, "needed_bytes", lambda _size_bytes: 10**15)

    with pytest.raises(MachineTooSmall, match="close something and redeploy again"):
        redeploy("tiny")

    assert wharf.served() == 1
    assert wharf.champions() == [version, version]
    assert wharf.quarantine(version) is None


def test_a_port_that_is_taken_is_left_for_the_next(
    wharf: Wharf, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first port tried is that of the server that serves; the trial runs on another."""
    version = wharf.add(marked("ⓐ"))
    address = server.find(wharf.folder)
    assert address is not None
    ports = iter([address.port, free := dock.free_port()])
    pick_port(monkeypatch, lambda: next(ports))

    with traffic(wharf.url, plain=1, streaming=1) as seen:
        wharf.move(version)
        outcome = redeploy("tiny")
        seen.wait_for(10)

    done = f"redeployed after a trial on the next free port, {free}"
    table.rows.append(
        ("finds its port taken", len(seen.outcomes), len(seen.faults), wharf.served(), done)
    )
    assert isinstance(outcome, Redeployed)
    assert seen.faults == []
    assert wharf.served() == version
    assert wharf.quarantine(version) is None


def test_where_every_port_is_taken_the_error_says_what_to_do(
    wharf: Wharf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is no fault of the candidate, so it is not quarantined."""
    before, version = wharf.served(), wharf.add()
    wharf.move(version)
    address = server.find(wharf.folder)
    assert address is not None
    pick_port(monkeypatch, lambda: address.port)
    monkeypatch.setattr(tasks.redeploy, "rehearse", tasks.redeploy.rehearse.with_options(retries=0))
    monkeypatch.setattr("flows.redeploy.rehearse", tasks.redeploy.rehearse)

    with pytest.raises(AddressTaken, match=f"port {address.port} .* redeploy again"):
        redeploy("tiny")

    assert wharf.served() == before
    assert wharf.champions() == [version, version]
    assert wharf.quarantine(version) is None


def pick_port(monkeypatch: pytest.MonkeyPatch, port: Any) -> None:
    """Let trials try these ports."""
    made = tasks.redeploy.dock
    monkeypatch.setattr(tasks.redeploy, "dock", lambda model: dock.replace(made(model), port=port))
