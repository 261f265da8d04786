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
from slipway.values import Rejected
from tests.support import project
from tests.support.fake_registry import FakeRegistry, fresh_name

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


def test_the_status_shows_it(
    signed: FakeRegistry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Said
) -> None:
    """The command changes nothing."""
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
