"""What was rolled back, refused or rejected stays so until somebody lifts it."""

import pytest
from shelf import ANN, Shelf

from slipway.errors import MoveRefused
from slipway.values import Cause, Inconclusive, Keep, Release, Verdict

BOB = Cause(actor="bob@harbour", reason="it answers in verse")


@pytest.fixture
def failed(shelf: Shelf) -> Release:
    """Return a release that was rolled back; version 1 serves."""
    shelf.release("one")
    release = shelf.release("two")
    shelf.registry.roll_back(shelf.model, None, BOB)
    return release


def test_a_quarantined_key_is_found_as_kept(shelf: Shelf, failed: Release) -> None:
    """Whoever releases it again learns why not, and how to lift it."""
    found = shelf.registry.released(shelf.model, "two")

    assert found is not None
    assert found.existed
    assert found.verdict == Keep(
        reasons=(
            "quarantined: bob@harbour: it answers in verse",
            f"lift it with slipway release {shelf.model} --lift-quarantine",
        )
    )


def test_a_quarantined_candidate_is_not_promoted_by_anything(shelf: Shelf, failed: Release) -> None:
    """Not even where the line was forced to run again."""
    before = shelf.aliases()

    with pytest.raises(MoveRefused, match=r"version 2 is quarantined .* --lift-quarantine"):
        shelf.release("two")

    assert shelf.aliases() == before


def test_a_lifted_quarantine_lets_the_version_serve_again(shelf: Shelf, failed: Release) -> None:
    """Both models' marks are gone, the aliases are moved, and it is recorded."""
    ann = Cause(actor="ann@harbour", reason="it was the prompt")

    lifted = shelf.registry.lift(shelf.model, "two", ann)

    assert lifted is not None
    assert shelf.aliases()[0] == {"candidate": 2, "champion": 2, "previous": 1}
    assert shelf.aliases()[1] == shelf.aliases()[0]
    for name in (shelf.model, f"{shelf.model}-transformers"):
        assert "slipway.quarantined" not in shelf.registry.tags(name, 2)
    assert shelf.registry.history(shelf.model)[-1].cause == ann
    found = shelf.registry.released(shelf.model, "two")
    assert found is not None
    assert found.verdict.kind == "promote"


def test_nothing_is_lifted_where_nothing_is_quarantined(shelf: Shelf) -> None:
    """The release goes its usual way."""
    shelf.release("one")

    assert shelf.registry.lift(shelf.model, "one", ANN) is None
    assert shelf.registry.lift(shelf.model, "two", ANN) is None
    assert len(shelf.registry.moves(shelf.model)) == 1


def test_a_quarantine_is_not_lifted_over_changed_bytes(shelf: Shelf, failed: Release) -> None:
    """What serves is what was tested, also the second time."""
    before = shelf.aliases()
    shelf.damage(failed)

    with pytest.raises(MoveRefused, match="files of version 2 are missing or changed"):
        shelf.registry.lift(shelf.model, "two", ANN)

    assert shelf.aliases() == before
    assert "slipway.quarantined" in shelf.tags(2)


@pytest.mark.parametrize(
    "verdict",
    [Keep(reasons=("too slow", "too large")), Inconclusive(reasons=("no answers",))],
    ids=lambda verdict: verdict.kind,
)
def test_what_a_gate_refused_is_known_by_its_key(shelf: Shelf, verdict: Verdict) -> None:
    """Its versions are gone; its run is not."""
    candidate = shelf.register("one")
    shelf.registry.withdraw(candidate, verdict)

    refusal = shelf.registry.refused(shelf.model, "one")

    assert refusal is not None
    assert (refusal.kind, refusal.reasons) == (verdict.kind, verdict.reasons)
    assert refusal.run_id == candidate.run_id


def test_a_quarantined_key_is_refused_and_others_are_not(shelf: Shelf, failed: Release) -> None:
    """A key that serves, and one that nobody has seen, may be released."""
    refusal = shelf.registry.refused(shelf.model, "two")

    assert refusal is not None
    assert refusal.reasons[0] == "quarantined: bob@harbour: it answers in verse"
    assert shelf.registry.refused(shelf.model, "one") is None
    assert shelf.registry.refused(shelf.model, "three") is None
    assert shelf.registry.refused("a-model-that-nobody-released", "one") is None
