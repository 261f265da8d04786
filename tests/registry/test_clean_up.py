"""Versions go by the rule of their model, with their files; what is in use stays whole."""

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from slipway.clean import clean_up
from slipway.clean.decision import leaving
from slipway.errors import MoveRefused, RegistryConflict
from slipway.registry import open_registry
from slipway.serving.protocol import Pointer, write_pointer
from slipway.settings import Settings
from slipway.tracking.location import experiment_id
from slipway.tracking.verified_copy import CopyRequest, verify
from slipway.values import AuditInfo, CleanDecision, Entry, Rejected, Retention
from tests.support import summaries
from tests.support.fake_registry import FakeRegistry
from tests.support.kills import Killed, killed
from tests.support.project import empty_database

CLEAN = AuditInfo(actor="schedule", reason="retention of the catalogue")
BOB = AuditInfo(actor="bob@harbour", reason="it answers in verse")
LATER = datetime.now(UTC) + timedelta(days=40)
TWO = Retention(versions=2, days=30)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRegistry:
    """Return the model ``tiny`` in a home of its own."""
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "mlflow").mkdir(parents=True)
    shutil.copy(empty_database(), tmp_path / "home" / "mlflow")
    return FakeRegistry(open_registry(Settings()), tmp_path / "files")


def entry(retention: Retention | None = TWO) -> Entry:
    """Return the catalogue's entry of the model."""
    return summaries.entry(name="tiny", retention=retention)


def plan(retention: Retention | None = TWO) -> tuple[CleanDecision, ...]:
    """Return what becomes of all in 40 days."""
    return clean_up.plan_model(entry(retention), Settings(), LATER)


def clean() -> int:
    """Clean in 40 days; return the bytes that the plan lists."""
    planned = plan()
    gone = clean_up.free_model(entry(), planned, Settings(), CLEAN)
    assert gone == leaving(planned)
    return sum(each.freed_bytes for each in gone)


def kept_bytes() -> int:
    """Return the bytes of all files that MLflow keeps."""
    folder = Settings().artifacts_folder
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def versions(tiny: FakeRegistry, name: str = "tiny") -> list[int]:
    """Return the versions of a registered model."""
    found = tiny.registry.client.search_model_versions(f"name = '{name}'")
    return sorted(int(each.version) for each in found)


def whole(tiny: FakeRegistry) -> list[int]:
    """Return the versions whose files are those that were released."""
    found = []
    for number in versions(tiny):
        request = CopyRequest(place=tiny.registry.copies, name="tiny", version=number)
        try:
            verify(request)
        except Exception:  # noqa: BLE001, S112 - whatever is wrong with it
            continue
        found.append(number)
    return found


def test_what_is_freed_is_what_was_listed(tiny: FakeRegistry) -> None:
    """One of each kind: of eleven candidates, those that somebody needs stay whole."""
    client = tiny.registry.client
    tiny.release("1-old")
    tiny.release("2-pinned")
    client.set_model_version_tag("tiny", "2", "slipway.pinned", "compared with every year")
    tiny.release("3-copied")
    client.create_registered_model("prod")
    client.create_model_version("prod", "models:/tiny/3")
    tiny.release("4-previous")
    tiny.release("5-failed")
    tiny.registry.roll_back("tiny", None, BOB)
    tiny.release("6-champion")
    tiny.release("7-waiting", "approval")
    tiny.registry.withdraw(tiny.register("8-rejected"), Rejected(reasons=("too slow",)))
    tiny.register("9-left-by-a-killed-release")
    running = tiny.log(tiny.request("10-running"))
    experiment = experiment_id(client, "tiny", tiny.registry.location)
    by_hand = client.create_logged_model(experiment, "by-hand")
    client.update_run(running.run_id, status="RUNNING")
    before = kept_bytes()

    listed = clean()

    assert versions(tiny) == versions(tiny, "tiny-transformers") == [2, 3, 4, 5, 6, 7]
    assert whole(tiny) == [2, 3, 4, 6, 7]
    assert tiny.aliases()[0] == {"candidate": 7, "champion": 6, "previous": 4}
    assert listed == before - kept_bytes() > 0
    kept = client.search_logged_models([by_hand.experiment_id])
    assert {*running.model_ids.values(), by_hand.model_id} <= {each.model_id for each in kept}
    assert len(kept) == 2 * 5 + 2 + 1
    assert leaving(plan()) == ()


def test_a_rollback_works_after_a_clean_up(tiny: FakeRegistry) -> None:
    """And the version that failed stays out, although its files are gone by then."""
    for key in ("one", "two", "three"):
        tiny.release(key)
    clean()

    tiny.registry.roll_back("tiny", None, BOB)
    tiny.release("four")
    tiny.release("five")
    clean()

    assert versions(tiny) == [3, 4, 5]
    assert whole(tiny) == [4, 5]
    assert tiny.registry.earlier_rejection("tiny", "three") is not None
    with pytest.raises(MoveRefused, match="version 3 is not what was released"):
        tiny.registry.lift_quarantine("tiny", "three", BOB)


def test_the_registry_records_a_clean_up(tiny: FakeRegistry) -> None:
    """Who was champion does not change by it; a run that has nothing to do records nothing."""
    for key in ("one", "two", "three"):
        tiny.release(key)
    before = tiny.registry.history("tiny")

    clean()
    clean()

    change = tiny.registry.changes("tiny")[-1]
    assert (change.kind, change.version, change.audit) == ("clean-up", 1, CLEAN)
    assert [each.kind for each in tiny.registry.changes("tiny")].count("clean-up") == 1
    assert tiny.registry.history("tiny") == before


def test_a_version_that_somebody_began_to_use_stays(tiny: FakeRegistry) -> None:
    """Between the listing and the deletion; then nothing of the plan is carried out."""
    for key in ("one", "two", "three", "four"):
        tiny.release(key)
    planned, before = plan(), kept_bytes()
    tiny.move_by_hand(1)

    with pytest.raises(RegistryConflict, match=r"version 1 of tiny.* is in use by now"):
        clean_up.free_model(entry(), planned, Settings(), CLEAN)

    assert versions(tiny) == [1, 2, 3, 4]
    assert kept_bytes() == before


def test_a_version_that_somebody_began_to_read_stays(tiny: FakeRegistry) -> None:
    """As a copy of it, or through a version of its own with the same logged model."""
    for key in ("one", "two", "three", "four"):
        tiny.release(key)
    client = tiny.registry.client
    logged = client.get_model_version("tiny", "1").source
    for source in ("models:/tiny/1", logged):
        planned, before = plan(), kept_bytes()
        client.create_registered_model("others")
        client.create_model_version("others", source)

        with pytest.raises(RegistryConflict, match="models:/others/1 reads it by now"):
            clean_up.free_model(entry(), planned, Settings(), CLEAN)

        assert kept_bytes() == before
        client.delete_registered_model("others")


def test_a_version_whose_state_changed_stays(tiny: FakeRegistry) -> None:
    """A person lifted the quarantine of a version whose files were about to go."""
    for key in ("one", "two"):
        tiny.release(key)
    tiny.registry.roll_back("tiny", None, BOB)
    tiny.release("three")
    tiny.release("four")
    planned = plan()
    tiny.registry.lift_quarantine("tiny", "two", BOB)

    with pytest.raises(MoveRefused, match="version 2 is approved"):
        clean_up.free_model(entry(), planned, Settings(), CLEAN)

    assert whole(tiny) == [1, 2, 3, 4]


def test_what_a_killed_clean_up_left_goes_with_the_next(
    tiny: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It deletes versions first, so that none is ever without its files and not quarantined."""
    for key in ("one", "two", "three"):
        tiny.release(key)
    before = kept_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("slipway.tracking.model_storage.delete", killed)
        with pytest.raises(Killed):
            clean()
    assert kept_bytes() == before

    listed = clean()

    assert listed == before - kept_bytes() > 0
    assert versions(tiny) == whole(tiny) == [2, 3]


def test_without_a_rule_nothing_of_a_model_goes(tiny: FakeRegistry) -> None:
    """Nor where nothing was ever released."""
    assert plan() == ()
    for key in ("one", "two", "three"):
        tiny.release(key)

    assert plan(None) == ()


def test_a_version_that_this_machine_serves_or_has_loaded_stays(tiny: FakeRegistry) -> None:
    """A model server may go on with it for months, and a person may have asked it yesterday."""
    for key in ("one", "two", "three", "four", "five"):
        tiny.release(key)
    pointer = Settings().server_folders / "tiny" / "pointer.json"
    write_pointer(pointer, Pointer(model="tiny", version=1))
    copy = Settings().home / "copies" / "tiny" / "2-abc"
    copy.mkdir(parents=True)
    os.utime(copy, ((LATER - timedelta(days=1)).timestamp(),) * 2)

    clean()

    assert versions(tiny) == whole(tiny) == [1, 2, 4, 5]
