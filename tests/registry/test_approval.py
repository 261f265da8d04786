"""A candidate that waits for a person: approved, rejected, too late, or overtaken."""

from datetime import datetime, timedelta, tzinfo

import pytest

from slipway.errors import MoveRefused
from slipway.values import ApprovalDecision, AuditInfo
from tests.support.fake_registry import ANN, FakeRegistry

BOB = AuditInfo(actor="bob@harbour", reason="not before the holidays")


@pytest.fixture
def waiting(fake_registry: FakeRegistry) -> FakeRegistry:
    """Return a model whose version 1 serves and whose version 2 waits."""
    fake_registry.release("one")
    fake_registry.release("two", "approval")
    return fake_registry


def answer(fake_registry: FakeRegistry, text: str) -> None:
    """Set the tag, as a person does in the MLflow UI."""
    fake_registry.registry.client.set_model_version_tag(
        fake_registry.model, "2", "slipway.approval", text
    )


def test_a_candidate_waits_at_its_alias(waiting: FakeRegistry) -> None:
    """The champion stays; the tag says what is wanted."""
    assert waiting.aliases()[0] == {"candidate": 2, "champion": 1}
    assert waiting.tags(2)["slipway.approval"] == "pending"
    assert waiting.registry.waiting(waiting.model) == 2
    found = waiting.registry.released(waiting.model, "two")
    assert found is not None
    assert found.waiting


def test_an_approved_candidate_serves(waiting: FakeRegistry) -> None:
    """Who approved it is on its page and in the history."""
    release = waiting.registry.decide(waiting.model, 2, "approve", ANN)

    assert not release.waiting
    assert waiting.aliases()[0] == {"candidate": 2, "champion": 2, "previous": 1}
    assert waiting.aliases()[1] == waiting.aliases()[0]
    assert waiting.tags(2)["slipway.approval"] == "approved"
    assert waiting.tags(2)["slipway.decided"] == "ann@harbour: all checks hold"
    assert waiting.registry.history(waiting.model)[-1].audit == ANN
    assert waiting.registry.waiting(waiting.model) is None


def test_a_rejected_candidate_is_quarantined(waiting: FakeRegistry) -> None:
    """The champion stays, nobody is asked about that key again, and its run says why."""
    release = waiting.registry.decide(waiting.model, 2, "reject", BOB)

    assert release.verdict.kind == "rejected"
    assert waiting.aliases() == ({"champion": 1}, {"champion": 1})
    reason = "rejected by bob@harbour: not before the holidays"
    assert waiting.tags(2)["slipway.quarantined"] == reason
    refusal = waiting.registry.earlier_rejection(waiting.model, "two")
    assert refusal is not None
    assert refusal.reasons[0] == f"quarantined: {reason}"
    run = waiting.registry.client.get_run(release.versions.run_id)
    assert run.data.tags["slipway.verdict"] == "rejected"


def test_a_candidate_whose_reference_was_deleted_can_be_rejected_alone(
    waiting: FakeRegistry,
) -> None:
    """Both models change or none, so it cannot be approved; the error says which is missing."""
    name, before = f"{waiting.model}-transformers", waiting.aliases()[0]
    waiting.registry.client.delete_model_version(name, "2")

    with pytest.raises(MoveRefused, match=f"version 2 of {name} was deleted; release it again"):
        waiting.registry.decide(waiting.model, 2, "approve", ANN)
    assert waiting.aliases()[0] == before
    release = waiting.registry.decide(waiting.model, 2, "reject", BOB)

    assert release.verdict.kind == "rejected"
    assert waiting.aliases() == ({"champion": 1}, {"champion": 1})


def test_the_first_answer_counts(waiting: FakeRegistry) -> None:
    """A form that is answered after the command changes nothing."""
    waiting.registry.decide(waiting.model, 2, "reject", BOB)

    late = waiting.registry.decide(waiting.model, 2, "approve", ANN)

    assert late.verdict.kind == "rejected"
    assert waiting.aliases()[0] == {"champion": 1}


def test_a_rejection_can_be_lifted(waiting: FakeRegistry) -> None:
    """By somebody's explicit wish, which counts as the approval."""
    waiting.registry.decide(waiting.model, 2, "reject", BOB)

    lifted = waiting.registry.lift_quarantine(waiting.model, "two", ANN)

    assert lifted is not None
    assert lifted.verdict.kind == "promoted"
    assert waiting.aliases()[0] == {"candidate": 2, "champion": 2, "previous": 1}
    assert waiting.tags(2)["slipway.approval"] == "approved"


@pytest.mark.parametrize(
    ("text", "champion"), [("approved", 2), (" Approved ", 2), ("rejected", 1)]
)
def test_a_tag_that_is_set_in_the_mlflow_ui_is_carried_out(
    waiting: FakeRegistry, text: str, champion: int
) -> None:
    """By whatever looks next; a second look finds nothing to do."""
    answer(waiting, text)

    release = waiting.registry.apply_answer(waiting.model, timeout_hours=1)

    assert release is not None
    assert waiting.registry.champion(waiting.model) == champion
    assert waiting.tags(2)["slipway.decided"].startswith("MLflow UI: ")
    assert waiting.registry.apply_answer(waiting.model, timeout_hours=1) is None


@pytest.mark.parametrize("text", ["pending", "aproved", ""])
def test_another_word_is_no_answer(waiting: FakeRegistry, text: str) -> None:
    """A misspelt approval approves nothing."""
    answer(waiting, text)

    assert waiting.registry.apply_answer(waiting.model, timeout_hours=1) is None
    assert waiting.registry.waiting(waiting.model) == 2


class Later(datetime):
    """The clock of the day after tomorrow."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "Later":
        """Return the time in two days."""
        return super().now(tz) + timedelta(days=2)


def test_a_tag_that_cannot_be_carried_out_is_refused_until_its_time_is_over(
    waiting: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody deleted the reference, so it cannot be approved."""
    answer(waiting, "approved")
    waiting.registry.client.delete_model_version(f"{waiting.model}-transformers", "2")
    with pytest.raises(MoveRefused, match="was deleted"):
        waiting.registry.apply_answer(waiting.model, timeout_hours=24)
    assert waiting.registry.waiting(waiting.model) == 2

    monkeypatch.setattr("slipway.registry.approval.datetime", Later)
    release = waiting.registry.apply_answer(waiting.model, timeout_hours=24)

    assert release is not None
    (reason,) = release.verdict.reasons
    assert reason.startswith("rejected by timeout: it could not be approved within 24 hours: ")
    assert "was deleted" in reason


def test_a_rejection_holds_whatever_somebody_does_to_its_tags(waiting: FakeRegistry) -> None:
    """Without its quarantine it is rejected still, with the reason that the person gave."""
    waiting.registry.decide(waiting.model, 2, "reject", BOB)
    waiting.registry.client.delete_model_version_tag(waiting.model, "2", "slipway.quarantined")

    found = waiting.registry.released(waiting.model, "two")

    assert found is not None
    assert found.verdict.reasons[0] == "rejected by bob@harbour: not before the holidays"
    assert waiting.registry.decide(waiting.model, 2, "approve", ANN).verdict == found.verdict


@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_an_answer_counts_though_somebody_deleted_the_run_of_the_release(
    waiting: FakeRegistry, decision: ApprovalDecision
) -> None:
    """The run only shows how the release ended."""
    found = waiting.registry.released(waiting.model, "two")
    assert found is not None
    waiting.registry.client.delete_run(found.versions.run_id)

    waiting.registry.decide(waiting.model, 2, decision, ANN)

    assert waiting.registry.waiting(waiting.model) is None


def test_no_answer_for_too_long_is_a_rejection(
    waiting: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two days later, where one day was given."""
    monkeypatch.setattr("slipway.registry.approval.datetime", Later)
    assert waiting.registry.apply_answer(waiting.model, timeout_hours=72) is None

    release = waiting.registry.apply_answer(waiting.model, timeout_hours=24)

    assert release is not None
    assert release.verdict.reasons == ("rejected by timeout: nobody approved it within 24 hours",)


def test_a_later_candidate_takes_the_place_of_one_that_waits(waiting: FakeRegistry) -> None:
    """The older one is not asked about any more, and may not be rolled back to."""
    waiting.release("three", "approval")

    assert waiting.registry.waiting(waiting.model) == 3
    with pytest.raises(MoveRefused, match=r"\(version 3 came after it\), so it cannot be approved"):
        waiting.registry.decide(waiting.model, 2, "approve", ANN)
    assert waiting.registry.champion(waiting.model) == 1
    assert waiting.tags(2)["slipway.decided"] == "version 3 came after it"
    with pytest.raises(MoveRefused, match="version 2 was not approved"):
        waiting.registry.roll_back(waiting.model, 2, BOB)


def test_a_version_that_never_waited_is_not_decided_about(waiting: FakeRegistry) -> None:
    """Nor is one that does not exist."""
    for version, state in ((1, "is released without an approval"), (9, "is not in the registry")):
        with pytest.raises(MoveRefused, match=f"version {version} {state}, so it cannot be"):
            waiting.registry.decide(waiting.model, version, "approve", ANN)


def test_what_a_later_candidate_found_is_not_approved_by_that(waiting: FakeRegistry) -> None:
    """Somebody chose the waiting version by hand, and another one waits before reconcile runs."""
    waiting.move_by_hand(2)
    waiting.release("three", "approval")

    change = waiting.registry.undo_manual_change(waiting.model, needs_approval=True)

    assert change is not None
    assert waiting.registry.champion(waiting.model) == 1


def test_an_approval_of_what_was_chosen_by_hand_holds(waiting: FakeRegistry) -> None:
    """Nothing was moved then, and yet it is approved."""
    waiting.move_by_hand(2)
    waiting.registry.decide(waiting.model, 2, "approve", ANN)

    assert waiting.registry.undo_manual_change(waiting.model, needs_approval=True) is None
    assert waiting.registry.champion(waiting.model) == 2


def test_a_champion_that_a_hand_chose_without_an_approval_is_undone(waiting: FakeRegistry) -> None:
    """The record says who was restored and why; the event of that change is sent."""
    waiting.move_by_hand(2)

    change = waiting.registry.undo_manual_change(waiting.model, needs_approval=True)

    assert change is not None
    assert (change.kind, change.before, change.after) == ("restored", 2, 1)
    assert "version 2 was made champion by hand" in change.audit.reason
    assert waiting.aliases() == ({"candidate": 2, "champion": 1},) * 2
    assert waiting.registry.waiting(waiting.model) == 2
    assert waiting.registry.pending_events(waiting.model) == (change,)
    assert waiting.registry.undo_manual_change(waiting.model, needs_approval=True) is None
    periods = waiting.registry.history(waiting.model)
    kinds = [(each.version, each.kind) for each in periods]
    assert kinds == [(1, "promotion"), (2, "by-hand"), (1, "restored")]


def test_a_version_that_copies_the_tags_of_another_is_not_released(waiting: FakeRegistry) -> None:
    """Somebody makes it with our tags, and the alias; what a release names is its own version."""
    client = waiting.registry.client
    source = client.get_model_version(waiting.model, "1")
    forged = client.create_model_version(waiting.model, source.source, tags=source.tags)

    state = waiting.registry.state(waiting.model, int(forged.version))

    assert state is not None
    assert (state.released, state.release, state.obstacle) == (False, None, "is not released")


def test_a_hand_may_choose_a_version_that_was_champion(waiting: FakeRegistry) -> None:
    """It was approved then; reconcile records the change as one by hand."""
    waiting.registry.decide(waiting.model, 2, "approve", ANN)
    waiting.move_by_hand(1)

    assert waiting.registry.undo_manual_change(waiting.model, needs_approval=True) is None
    change = waiting.registry.record_manual_change(waiting.model)

    assert change is not None
    assert (change.kind, change.after) == ("by-hand", 1)


def test_where_the_recorded_champion_may_not_serve_none_is_left(waiting: FakeRegistry) -> None:
    """Nobody approved the version that the hand chose, and the one before is quarantined."""
    waiting.registry.client.set_model_version_tag(
        waiting.model, "1", "slipway.quarantined", "it answers in verse"
    )
    waiting.move_by_hand(2)

    change = waiting.registry.undo_manual_change(waiting.model, needs_approval=True)

    assert change is not None
    assert change.after is None
    assert waiting.aliases() == ({"candidate": 2},) * 2
