"""What was rolled back, refused or rejected stays so until somebody lifts it."""

import pytest

from slipway.errors import MoveRefused
from slipway.values import AuditInfo, Inconclusive, Rejected, Release, Verdict
from tests.support.fake_registry import ANN, FakeRegistry

BOB = AuditInfo(actor="bob@harbour", reason="it answers in verse")


@pytest.fixture
def failed(fake_registry: FakeRegistry) -> Release:
    """Return a release that was rolled back; version 1 serves."""
    fake_registry.release("one")
    release = fake_registry.release("two")
    fake_registry.registry.roll_back(fake_registry.model, None, BOB)
    return release


def test_a_quarantined_key_is_found_as_kept(fake_registry: FakeRegistry, failed: Release) -> None:
    """Whoever releases it again learns why not, and how to lift it."""
    found = fake_registry.registry.released(fake_registry.model, "two")

    assert found is not None
    assert found.existed
    assert found.verdict == Rejected(
        reasons=(
            "quarantined: bob@harbour: it answers in verse",
            f"lift it with slipway release {fake_registry.model} --lift-quarantine --reason TEXT",
        )
    )


def test_a_quarantined_candidate_is_not_promoted_by_anything(
    fake_registry: FakeRegistry, failed: Release
) -> None:
    """Not even where the line was forced to run again."""
    before = fake_registry.aliases()

    with pytest.raises(MoveRefused, match=r"version 2 is quarantined .* --lift-quarantine"):
        fake_registry.release("two")

    assert fake_registry.aliases() == before


def test_a_lifted_quarantine_lets_the_version_serve_again(
    fake_registry: FakeRegistry, failed: Release
) -> None:
    """Both models' marks are gone, the aliases are moved, and it is recorded."""
    ann = AuditInfo(actor="ann@harbour", reason="it was the prompt")

    lifted = fake_registry.registry.lift_quarantine(fake_registry.model, "two", ann)

    assert lifted is not None
    assert fake_registry.aliases()[0] == {"candidate": 2, "champion": 2, "previous": 1}
    assert fake_registry.aliases()[1] == fake_registry.aliases()[0]
    for name in (fake_registry.model, f"{fake_registry.model}-transformers"):
        assert "slipway.quarantined" not in fake_registry.registry.tags(name, 2)
    assert fake_registry.registry.history(fake_registry.model)[-1].audit == ann
    found = fake_registry.registry.released(fake_registry.model, "two")
    assert found is not None
    assert found.verdict.kind == "promoted"


def test_the_page_of_a_version_says_its_state(fake_registry: FakeRegistry, failed: Release) -> None:
    """Above what its release wrote; the run of its release says the same."""
    version = failed.versions.onnx
    page = fake_registry.registry.description(version.name, version.version)

    assert page == (
        "**⛔ Quarantined.** `bob@harbour: it answers in verse`\n\nAt its release: Release two."
    )
    fake_registry.registry.lift_quarantine(fake_registry.model, "two", ANN)
    page = fake_registry.registry.description(version.name, version.version)
    assert page.startswith("**✅ Approved.** `ann@harbour: all checks hold`")
    assert page.count("At its release: ") == 1


def test_nothing_is_lifted_where_nothing_is_quarantined(fake_registry: FakeRegistry) -> None:
    """The release goes its usual way."""
    fake_registry.release("one")

    assert fake_registry.registry.lift_quarantine(fake_registry.model, "one", ANN) is None
    assert fake_registry.registry.lift_quarantine(fake_registry.model, "two", ANN) is None
    assert len(fake_registry.registry.changes(fake_registry.model)) == 1


def test_a_quarantine_is_not_lifted_over_changed_bytes(
    fake_registry: FakeRegistry, failed: Release
) -> None:
    """What serves is what was tested, also the second time."""
    before = fake_registry.aliases()
    fake_registry.damage(failed)

    with pytest.raises(MoveRefused, match="version 2 is not what was released"):
        fake_registry.registry.lift_quarantine(fake_registry.model, "two", ANN)

    assert fake_registry.aliases() == before
    assert "slipway.quarantined" in fake_registry.tags(2)


@pytest.mark.parametrize(
    "verdict",
    [Rejected(reasons=("too slow", "too large")), Inconclusive(reasons=("no answers",))],
    ids=lambda verdict: verdict.kind,
)
def test_what_a_gate_refused_is_known_by_its_key(
    fake_registry: FakeRegistry, verdict: Verdict
) -> None:
    """Its versions are gone; its run is not."""
    candidate = fake_registry.register("one")
    fake_registry.registry.withdraw(candidate, verdict)

    refusal = fake_registry.registry.earlier_rejection(fake_registry.model, "one")

    assert refusal is not None
    assert (refusal.kind, refusal.reasons) == (verdict.kind, verdict.reasons)
    assert refusal.run_id == candidate.run_id
    last = fake_registry.registry.last_release(fake_registry.model)
    assert last is not None
    assert (last.verdict, last.reason) == (verdict.kind, "; ".join(verdict.reasons))


def test_the_last_end_of_a_release_counts(fake_registry: FakeRegistry) -> None:
    """Also once a clean-up has deleted the version that a later try has promoted."""
    registry = fake_registry.registry
    slow, wrong = Rejected(reasons=("too slow",)), Rejected(reasons=("it answers in verse",))
    registry.withdraw(fake_registry.register("one"), slow)
    promoted = fake_registry.release("one").versions
    fake_registry.release("two")
    fake_registry.release("three")
    for wrapper in promoted.wrappers:
        registry.client.delete_model_version(wrapper.name, str(wrapper.version))
    assert registry.released(fake_registry.model, "one") is None

    assert registry.earlier_rejection(fake_registry.model, "one") is None

    registry.withdraw(fake_registry.register("one"), wrong)
    refusal = registry.earlier_rejection(fake_registry.model, "one")
    assert refusal is not None
    assert refusal.reasons == wrong.reasons


def test_a_quarantined_key_is_refused_and_others_are_not(
    fake_registry: FakeRegistry, failed: Release
) -> None:
    """A key that serves, and one that nobody has seen, may be released."""
    refusal = fake_registry.registry.earlier_rejection(fake_registry.model, "two")

    assert refusal is not None
    assert refusal.reasons[0] == "quarantined: bob@harbour: it answers in verse"
    last = fake_registry.registry.last_release(fake_registry.model)
    assert last is not None
    assert last.reason == "version 2 is quarantined (bob@harbour: it answers in verse)"
    assert fake_registry.registry.earlier_rejection(fake_registry.model, "one") is None
    assert fake_registry.registry.earlier_rejection(fake_registry.model, "three") is None
    assert fake_registry.registry.earlier_rejection("a-model-that-nobody-released", "one") is None
