"""With a public key, the signed record decides which champion a hand may choose."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from commands.main import run
from slipway.errors import VersionUnsigned
from slipway.redeploy.deployment import Deployment
from slipway.redeploy.golden_prompts import GoldenPrompts
from slipway.redeploy.values import Deploy
from slipway.registry import Registry
from slipway.system import signing_keys
from slipway.system.process import ProcessLimits
from slipway.tracking.accounts import Person
from slipway.tracking.tags import SIGNATURE
from slipway.values import Rejected
from tests.support import project
from tests.support.fake_registry import ANN, FakeRegistry, fresh_name

Said = pytest.CaptureFixture[str]


@pytest.fixture
def signed(registry: Registry, tmp_path: Path) -> FakeRegistry:
    """Return a model with a signed champion, in a registry that requires a signature."""
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    signing_keys.make_pair(private, public)
    copies = registry.copies.model_copy(update={"root": tmp_path / "copies", "public_key": public})
    model = FakeRegistry(
        Registry(copies, registry.locks), tmp_path / "files", fresh_name(), private
    )
    model.release("one")
    return model


def unsigned(signed: FakeRegistry) -> FakeRegistry:
    """Return the same model as it is for somebody without keys."""
    copies = signed.registry.copies.model_copy(update={"public_key": None})
    return replace(signed, registry=Registry(copies, signed.registry.locks), signing_key=None)


def fault(model: FakeRegistry) -> str | None:
    """Return what is wrong with a champion that was chosen by hand."""
    return model.registry.manual_fault(model.model, needs_approval=False)


def undo(model: FakeRegistry) -> int | None:
    """Do what reconcile does about it, and return the champion then."""
    model.registry.undo_manual_change(model.model, needs_approval=False)
    return model.registry.champion(model.model)


def test_a_champion_whose_record_says_rejected_is_put_back(signed: FakeRegistry) -> None:
    """Whatever its tags say; the history has why."""
    rejected = signed.sealed("two", verdict=Rejected(reasons=("it loops",)))
    version = rejected.versions.onnx.version
    signed.registry.client.set_model_version_tag(
        signed.model, str(version), "slipway.status", "released"
    )
    signed.move_by_hand(version)

    assert (
        fault(signed)
        == "version 2 was made champion by hand, and its record says rejected: it loops"
    )
    assert undo(signed) == 1
    assert fault(signed) is None
    last = signed.registry.history(signed.model)[-1]
    assert (last.version, last.kind) == (1, "restored")
    assert "its record says rejected: it loops" in last.audit.reason


def test_a_champion_without_a_record_is_put_back(signed: FakeRegistry) -> None:
    """Somebody registered it, or released it without a key."""
    signed.move_by_hand(signed.register("two").onnx.version)

    assert fault(signed) == "version 2 was made champion by hand, and it is not signed"
    assert undo(signed) == 1
    assert [aliases["champion"] for aliases in signed.aliases()] == [1, 1]


def test_a_hand_may_choose_what_was_signed_and_promoted(signed: FakeRegistry) -> None:
    """It is a release like any other."""
    signed.release("two")
    signed.move_by_hand(1)

    assert fault(signed) is None
    assert undo(signed) == 1


OTHERS = [
    *(("", "previous"), ("", "candidate"), ("-transformers", "champion")),
    *(("-transformers", "previous"), ("-transformers", "candidate")),
]


def set_alias(model: FakeRegistry, suffix: str, alias: str, version: int) -> None:
    """Move one alias, as somebody does in the MLflow UI."""
    name = f"{model.model}{suffix}"
    model.registry.client.set_registered_model_alias(name, alias, str(version))


def other_faults(model: FakeRegistry) -> list[str]:
    """Return what is wrong with the aliases beside the champion's."""
    return [each.in_words for each in model.registry.faulty_aliases(model.model)]


@pytest.mark.parametrize(("suffix", "alias"), OTHERS)
def test_every_other_alias_is_put_back_too(signed: FakeRegistry, suffix: str, alias: str) -> None:
    """Of both wrappers' models: what nobody signed does not keep it."""
    signed.release("two")
    before = signed.aliases()
    version = signed.register("three").onnx.version
    assert other_faults(signed) == []

    set_alias(signed, suffix, alias, version)

    name = f"{signed.model}{suffix}"
    assert other_faults(signed) == [
        f"version 3 was made {alias} of {name} by hand, and it is not signed"
    ]
    change = signed.registry.restore_aliases(signed.model)
    assert change is not None
    assert (change.kind, change.moved) == ("restored", False)
    assert signed.aliases() == before
    assert signed.registry.restore_aliases(signed.model) is None


@pytest.mark.parametrize(("suffix", "alias"), OTHERS)
def test_a_hand_may_move_every_other_alias_to_what_was_signed(
    signed: FakeRegistry, suffix: str, alias: str
) -> None:
    """As it may choose the champion."""
    signed.release("two")
    signed.release("three")

    set_alias(signed, suffix, alias, 1)

    assert other_faults(signed) == []
    assert signed.registry.restore_aliases(signed.model) is None


def test_an_alias_is_not_judged_again_where_a_recorded_change_left_it(
    signed: FakeRegistry,
) -> None:
    """A rollback makes what was taken out `previous`; a champion of a hand is recorded once."""
    signed.release("two")
    signed.registry.roll_back(signed.model, None, ANN)
    assert signed.aliases()[0]["previous"] == 2
    assert other_faults(signed) == []
    signed.move_by_hand(2)
    signed.registry.record_manual_change(signed.model)
    client, name = signed.registry.client, f"{signed.model}-transformers"
    client.delete_model_version_tag(name, "2", SIGNATURE)

    assert other_faults(signed) == []


def test_a_candidate_of_a_releaser_is_recorded_too(signed: FakeRegistry) -> None:
    """Its record is where a releaser may write."""
    registry = Registry(signed.registry.copies, signed.registry.locks)
    vars(registry)["person"] = Person(name="bob", role="releaser")
    replace(signed, registry=registry).release("two", "candidate")
    signed.registry.client.delete_model_version_tag(signed.model, "2", SIGNATURE)

    assert signed.aliases()[0] == {"candidate": 2, "champion": 1}
    assert other_faults(signed) == []


def test_an_alias_whose_recorded_version_was_deleted_is_removed(signed: FakeRegistry) -> None:
    """There is nothing to go back to."""
    signed.release("two")
    version = signed.register("three").onnx.version
    set_alias(signed, "", "previous", version)
    signed.registry.client.delete_model_version(signed.model, "1")

    signed.registry.restore_aliases(signed.model)

    assert signed.aliases()[0] == {"candidate": 2, "champion": 2}


def test_without_a_key_no_other_alias_is_judged(signed: FakeRegistry) -> None:
    """There is no signed record to judge it by."""
    set_alias(signed, "", "candidate", signed.register("two").onnx.version)

    assert other_faults(unsigned(signed)) == []
    assert unsigned(signed).registry.restore_aliases(signed.model) is None


def test_the_status_shows_it(
    signed: FakeRegistry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Said
) -> None:
    """The command changes nothing, and names one thing after the other."""
    catalogue = project.CATALOGUE.format(contract="prompt").replace(".tiny", f".{signed.model}")
    (tmp_path / "catalogue.toml").write_text(catalogue, encoding="utf-8")
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SLIPWAY_CATALOGUE", str(tmp_path / "catalogue.toml"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", signed.registry.location.uri)
    monkeypatch.setenv("SLIPWAY_VERIFY_KEY", str(signed.registry.copies.public_key))
    signed.move_by_hand(signed.register("two").onnx.version)

    assert run(["status", signed.model]) == 0

    said = capsys.readouterr().out
    assert "version 2 was made champion by hand, and it is not signed; reconcile undoes" in said
    assert signed.registry.champion(signed.model) == 2

    undo(signed)
    set_alias(signed, "", "candidate", 2)
    assert run(["status", signed.model]) == 0

    said = " ".join(capsys.readouterr().out.split())
    place = f"version 2 was made candidate of {signed.model} by hand"
    assert f"{place}, and it is not signed; reconcile undoes that" in said


@pytest.fixture
def earlier(signed: FakeRegistry) -> FakeRegistry:
    """Return the model with a champion that was released before a signature was required."""
    unsigned(signed).release("two")
    return signed


def preflight(model: FakeRegistry, folder: Path) -> str | None:
    """Return why a redeploy would quarantine the champion."""
    deployment = Deployment(
        model=model.model,
        folder=folder / "serving",
        locks=folder / "locks",
        copies=model.registry.copies,
        limits=ProcessLimits(timeout_seconds=1, memory_bytes=None, logs=folder),
        golden=GoldenPrompts(prompts=(), answer={}, max_median_latency_ms=math.inf),
        drain_seconds=1,
    )
    return deployment.preflight(Deploy(version=2, serving=1, size_bytes=0)).fault


def test_a_champion_of_before_the_key_is_refused_and_stays(
    earlier: FakeRegistry, tmp_path: Path
) -> None:
    """The error says what to do; the version is as good as it was, so nothing quarantines it."""
    with pytest.raises(VersionUnsigned, match=r"it is not signed; release .* --force"):
        preflight(earlier, tmp_path)

    assert fault(earlier) is None
    assert undo(earlier) == 2


def test_a_changed_champion_of_before_the_key_has_a_fault(
    earlier: FakeRegistry, tmp_path: Path
) -> None:
    """A signature that is missing does not hide what the digests show."""
    released = earlier.registry.released(earlier.model, "two")
    assert released is not None
    earlier.damage(released)

    assert "has digest" in (preflight(earlier, tmp_path) or "")
