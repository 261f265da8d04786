"""What a clean-up lets go: nothing that anybody needs, and of the rest what the rule says."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.clean.decision import decide, leaving
from slipway.values import (
    CleanDecision,
    Inventory,
    LoggedFiles,
    RegisteredRelease,
    Retention,
    VersionState,
)

NOW = datetime(2026, 11, 29, tzinfo=UTC)
OLD, NEW = NOW - timedelta(days=40), NOW - timedelta(days=2)
STATES: tuple[VersionState, ...] = (
    *("absent", "registered", "pending", "approved"),
    *("rejected", "superseded", "released", "quarantined"),
)


def release(number: int, **changes: Any) -> RegisteredRelease:
    """Return a release that nothing needs."""
    fields: dict[str, Any] = {
        "model": "tiny",
        "number": number,
        "versions": (("tiny", number), ("tiny-transformers", number)),
        "state": "released",
        "aliases": (),
        "pinned": False,
        "copied_to": (),
        "used_at": OLD,
    }
    return RegisteredRelease.model_validate(fields | changes)


def logged(name: str, *readers: str, **changes: Any) -> LoggedFiles:
    """Return an old logged model of 10 bytes that these versions read."""
    fields = {"name": name, "size_bytes": 10, "used_at": OLD, "running": False, "read_by": readers}
    return LoggedFiles.model_validate(fields | changes)


def decided(*items: RegisteredRelease | LoggedFiles, versions: int = 1) -> list[CleanDecision]:
    """Return what becomes of versions and logged models."""
    found = Inventory(
        at=NOW,
        retention=Retention(versions=versions, days=30),
        releases=tuple(each for each in items if isinstance(each, RegisteredRelease)),
        logged=tuple(each for each in items if isinstance(each, LoggedFiles)),
    )
    return list(decide(found))


@pytest.mark.parametrize(
    ("changes", "fate", "reason"),
    [
        pytest.param({}, "goes", "nothing needs it", id="old"),
        pytest.param({"state": "superseded"}, "goes", "superseded", id="superseded"),
        pytest.param({"state": "registered"}, "goes", "registered", id="left by a killed release"),
        pytest.param({"state": "absent"}, "goes", "absent", id="a reference alone"),
        pytest.param({"state": "quarantined"}, "files go", "record stays", id="quarantined"),
        pytest.param({"state": "rejected"}, "files go", "record stays", id="rejected"),
        pytest.param({"state": "pending"}, "stays", "waits for approval", id="pending"),
        pytest.param({"aliases": ("previous",)}, "stays", "alias previous", id="alias"),
        pytest.param({"pinned": True}, "stays", "pinned", id="pinned"),
        pytest.param({"served": True}, "stays", "model server", id="served"),
        pytest.param({"copied_to": ("models:/prod/1",)}, "stays", "models:/prod/1", id="copied"),
        pytest.param({"used_at": NEW}, "stays", "used 2026-11-27", id="used"),
    ],
)
def test_a_version_goes_if_nobody_needs_it(changes: dict[str, Any], fate: str, reason: str) -> None:
    """Version 2 is the newest, so version 1 has no other reason to stay than its own."""
    first, second = decided(release(1, **changes), release(2))

    assert (first.fate, second.fate) == (fate, "stays")
    assert reason in first.reason


def test_the_newest_that_may_serve_stay() -> None:
    """What is quarantined takes no place of one that may serve."""
    found = decided(release(1), release(2), release(3), release(4, state="quarantined"), versions=2)

    assert [each.fate for each in found] == ["goes", "stays", "stays", "files go"]


@pytest.mark.parametrize(
    ("files", "goes"),
    [
        pytest.param(logged("m", "models:/tiny/1"), True, id="of a version that goes"),
        pytest.param(logged("m", "models:/tiny/2"), True, id="of a quarantined version"),
        pytest.param(logged("m", "models:/tiny/3"), False, id="of a version that stays"),
        pytest.param(
            logged("m", "models:/tiny/1", "models:/prod/1"), False, id="of another model as well"
        ),
        pytest.param(logged("m"), True, id="of a rejected candidate"),
        pytest.param(logged("m", used_at=NEW), False, id="of a recent candidate"),
        pytest.param(logged("m", running=True), False, id="of a release that is running"),
    ],
)
def test_files_go_with_the_last_version_that_reads_them(files: LoggedFiles, goes: bool) -> None:
    """Version 1 goes, version 2 stays without its files, version 3 is the newest."""
    found = decided(release(1), release(2, state="quarantined"), release(3), files)

    assert found[-1].fate == ("goes" if goes else "stays")
    assert sum(each.freed_bytes for each in found) == (10 if goes else 0)


@st.composite
def inventories(draw: st.DrawFn) -> Inventory:
    """Return any number of releases in any state, and logged models that any of them reads."""
    moments = st.integers(0, 90).map(lambda days: NOW - timedelta(days=days))
    aliases = st.lists(st.sampled_from(("champion", "previous", "candidate")), max_size=1)
    releases = [
        release(
            number,
            state=draw(st.sampled_from(STATES)),
            aliases=tuple(draw(aliases)),
            pinned=draw(st.booleans()),
            served=draw(st.booleans()),
            copied_to=("models:/prod/1",) if draw(st.booleans()) else (),
            used_at=draw(moments),
        )
        for number in range(1, draw(st.integers(0, 6)) + 1)
    ]
    addresses = [address for each in releases for address in each.addresses]
    readers = st.sets(st.sampled_from([*addresses, "models:/prod/1"]), max_size=3)
    files = [
        logged(
            f"m-{number}",
            *sorted(draw(readers)),
            size_bytes=draw(st.integers(0, 1000)),
            used_at=draw(moments),
            running=draw(st.booleans()),
        )
        for number in range(draw(st.integers(0, 8)))
    ]
    rule = Retention(versions=draw(st.integers(1, 4)), days=draw(st.integers(1, 60)))
    return Inventory(at=NOW, retention=rule, releases=tuple(releases), logged=tuple(files))


@settings(max_examples=200, deadline=None)
@given(inventories())
def test_nothing_that_a_live_version_needs_goes(found: Inventory) -> None:
    """Whatever there is: neither the version, nor a file that a version reads that may serve."""
    plan = decide(found)
    gone = {each.item.name for each in leaving(plan)}
    since = found.at - timedelta(days=found.retention.days)

    for each in found.releases:
        needed = each.aliases or each.pinned or each.served or each.copied_to
        if needed or each.used_at > since or each.state == "pending":
            assert each.name not in gone
            assert not gone & {
                file.name for file in found.logged if {*each.addresses} & {*file.read_by}
            }
    may_serve = [each for each in found.releases if each.state in {"released", "approved"}]
    assert not gone & {each.name for each in may_serve[-found.retention.versions :]}
    assert not gone & {each.name for each in found.logged if each.running}
    assert not gone & {each.name for each in found.logged if "models:/prod/1" in each.read_by}


@settings(max_examples=200, deadline=None)
@given(inventories())
def test_a_second_run_finds_nothing_more(found: Inventory) -> None:
    """What the first one left stays, and its bytes were all that there was to free."""
    gone = {each.item.name for each in leaving(decide(found))}
    left = found.model_copy(
        update={
            "releases": tuple(each for each in found.releases if each.name not in gone),
            "logged": tuple(each for each in found.logged if each.name not in gone),
        }
    )

    assert leaving(decide(left)) == ()
