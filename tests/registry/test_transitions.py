"""A version's state changes only as the table says, from the state that is there at that moment."""

from collections.abc import Callable
from contextlib import suppress
from itertools import count, product
from pathlib import Path
from typing import Any

import pytest

from slipway.errors import MoveRefused, RegistryConflict
from slipway.registry import Registry
from slipway.registry.transitions import (
    TRANSITIONS,
    Command,
    after,
    require,
    state_in,
    tags_of,
)
from slipway.tracking.tag_values import VersionTags
from slipway.values import AuditInfo, Promoted, Rejected, Release, VersionState
from tests.support.fake_registry import ANN
from tests.support.memory_registry import MemoryClient, MemoryRegistry, registered

BOB = AuditInfo(actor="bob@harbour", reason="it answers in verse")

#: Tags of a version in each state.
TAGS: dict[VersionState, dict[str, str]] = {
    "registered": {},
    "pending": {"slipway.status": "released", "slipway.approval": "pending"},
    "released": {"slipway.status": "released"},
    "approved": {
        "slipway.status": "released",
        "slipway.approval": "approved",
        "slipway.decided": "ann",
    },
    "rejected": {
        "slipway.status": "released",
        "slipway.approval": "rejected",
        "slipway.decided": "bob",
        "slipway.quarantined": "rejected by bob",
    },
    "superseded": {
        "slipway.status": "released",
        "slipway.approval": "superseded",
        "slipway.decided": "version 3 came after it",
    },
    "quarantined": {"slipway.status": "released", "slipway.quarantined": "bob: it is rude"},
}


@pytest.mark.parametrize("state", TAGS)
def test_the_tags_of_a_command_lead_to_the_state_of_the_table(state: VersionState) -> None:
    """What is written and what is allowed cannot drift apart."""
    assert VersionTags.from_tags(TAGS[state]).state == state
    for command in TRANSITIONS:
        target = after(command, state)
        if target and target != "absent":
            changes = tags_of(command, "ann", TAGS[state].get("slipway.quarantined"))
            written = {**TAGS[state], **changes}
            found = {tag: value for tag, value in written.items() if value is not None}
            assert VersionTags.from_tags(found).state == target


@pytest.mark.parametrize("state", [*TAGS, "absent"])
def test_what_the_table_does_not_list_is_refused_by_name(state: VersionState) -> None:
    """The line has the version, its state, and what a person can do."""
    found = VersionTags.from_tags(TAGS[state]) if state != "absent" else None
    for command in TRANSITIONS:
        if after(command, state) is None:
            with pytest.raises(MoveRefused, match=r"tiny: version 2 .*, so it cannot be .*; "):
                require(command, "tiny", 2, found)
        else:
            require(command, "tiny", 2, found)


def test_nothing_leads_back_to_waiting() -> None:
    """An approved version is never asked about again, by whatever sequence of commands."""
    reached: set[VersionState] = {"approved"}
    for _ in TAGS:
        reached |= {
            target
            for starts in TRANSITIONS.values()
            for state in reached
            if (target := starts.get(state))
        }

    assert reached == {"absent", "approved", "quarantined"}


class Bench:
    """Version 1 serves, version 2 is in some state, version 3 is registered; two machines."""

    def __init__(self, folder: Path) -> None:
        self.client = MemoryClient()
        self.here = MemoryRegistry(self.client, folder / "here")
        self.there = MemoryRegistry(self.client, folder / "there")
        self.releases = {
            number: Release(
                versions=registered(self.client, key),
                repo="acme/tiny",
                commit="ab" * 20,
                variant="cpu-int8",
                verdict=Promoted(reasons=("all checks hold",)),
                promotion=None,
            )
            for number, key in enumerate(("one", "two", "three"), 1)
        }
        self.here.promote(self.releases[1], "champion", "One.", ANN)
        self.saved: dict[VersionState, Any] = {"registered": self.client.save()}
        self._reach("released", "registered", "release")
        self._reach("pending", "registered", "ask")
        self._reach("approved", "pending", "approve")
        self._reach("rejected", "pending", "reject")
        self._reach("superseded", "pending", "supersede")
        self._reach("quarantined", "approved", "roll back")

    def do(self, registry: Registry, action: str) -> None:
        """Do something to version 2; what is refused changes nothing."""
        two, three = self.releases[2], self.releases[3]
        actions: dict[str, Callable[[], Any]] = {
            "release": lambda: registry.promote(two, "champion", "Two.", ANN),
            "ask": lambda: registry.promote(two, "approval", "Two.", ANN),
            "supersede": lambda: registry.promote(three, "approval", "Three.", ANN),
            "approve": lambda: registry.decide("tiny", 2, "approve", ANN),
            "reject": lambda: registry.decide("tiny", 2, "reject", BOB),
            "time out": lambda: registry.apply_answer("tiny", 0),
            "roll back": lambda: registry.roll_back("tiny", 1, BOB, 2),
            "refuse to serve": lambda: registry.reject_champion("tiny", 2, 1, BOB),
            "lift": lambda: registry.lift_quarantine("tiny", "two", ANN),
            "withdraw": lambda: registry.withdraw(two.versions, Rejected(reasons=("slow",))),
        }
        with suppress(MoveRefused, RegistryConflict):
            actions[action]()

    def put(self, state: VersionState) -> None:
        """Bring all back to a moment when version 2 was in ``state``."""
        self.client.load(self.saved[state])

    def state(self) -> VersionState:
        """Return the state of version 2."""
        return state_in(self.here.state("tiny", 2))

    def _reach(self, state: VersionState, start: VersionState, action: str) -> None:
        self.put(start)
        self.do(self.here, action)
        assert self.state() == state
        self.saved[state] = self.client.save()


#: What each action of a person, a release or a redeploy does to version 2.
ACTIONS: dict[str, Command] = {
    "release": "release",
    "ask": "ask",
    "supersede": "supersede",
    "approve": "approve",
    "reject": "reject",
    "time out": "reject",
    "roll back": "quarantine",
    "refuse to serve": "quarantine",
    "lift": "lift",
    "withdraw": "withdraw",
}


def outcome(action: str, state: VersionState) -> VersionState:
    """Return what an action alone makes of version 2."""
    if action == "roll back" and state not in {"approved", "released"}:
        return state  # it is not the champion
    return after(ACTIONS[action], state) or state


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Return a registry whose version 2 has been in every state."""
    return Bench(tmp_path_factory.mktemp("transitions"))


def require_sound(bench: Bench) -> None:
    """No version serves that may not, both models agree, and no record is open."""
    served, reference = bench.here.aliases("tiny"), bench.here.aliases("tiny-transformers")
    assert served == reference
    champion = bench.here.state("tiny", served["champion"])
    assert champion is not None
    assert champion.obstacle is None
    assert bench.here._open_runs("tiny", "promotions") == {}


@pytest.mark.parametrize("state", TAGS)
def test_two_actions_after_one_another_do_what_the_table_says(
    bench: Bench, state: VersionState
) -> None:
    """From every state, every pair in every order; what is not allowed changes nothing."""
    for first, second in product(ACTIONS, repeat=2):
        bench.put(state)
        bench.do(bench.here, first)
        between = bench.state()
        bench.do(bench.there, second)

        assert between == outcome(first, state), first
        never_released = state == "registered" and (first, second) == ("refuse to serve", "lift")
        expected = between if never_released else outcome(second, between)
        assert bench.state() == expected, f"{second} after {first}"
        require_sound(bench)


@pytest.mark.parametrize("state", TAGS)
def test_a_slow_twin_overwrites_nothing(bench: Bench, state: VersionState) -> None:
    """Another machine acts before any write of the first one: what it did stays done."""
    active = [action for action in ACTIONS if outcome(action, state) != state]
    for slow, quick in product(active, repeat=2):
        for moment in count():
            bench.put(state)
            seen = interrupted(bench, slow, quick, moment)
            if seen is None:
                break  # the slow one writes less often than that
            before, left = seen
            done = left if left != before else state
            assert bench.state() in {done, outcome(slow, done)}, f"{quick} while {slow} was slow"
            require_sound(bench)


def interrupted(
    bench: Bench, slow: str, quick: str, moment: int
) -> tuple[VersionState, VersionState] | None:
    """Do ``quick`` before a write of ``slow``; return the state before and after; None if never."""
    writes = count()
    seen: list[tuple[VersionState, VersionState]] = []

    def act() -> None:
        if next(writes) == moment:
            bench.client.before_write = lambda: None
            before = bench.state()
            bench.do(bench.there, quick)
            seen.append((before, bench.state()))

    bench.client.before_write = act
    bench.do(bench.here, slow)
    bench.client.before_write = lambda: None
    return seen[0] if seen else None
