"""Scores of two models on the same items are compared item by item, or not at all."""

from typing import Any

import pytest

from slipway.errors import ItemsDiffer
from slipway.evaluation.task_scores import TaskScore, compare


def score(items: dict[str, float], **changes: Any) -> TaskScore:
    """Return what a model reached with these scores of its items."""
    value = sum(items.values()) / len(items) if items else 0.5
    fields = {"task": "everyday", "metric": "acc", "value": value, "higher_is_better": True}
    return TaskScore(**fields | {"items": items} | changes)


def answers(right: int, of: int = 200) -> dict[str, float]:
    """Return the scores of items of which the first ones are answered well."""
    return {str(number): float(number < right) for number in range(of)}


def test_right_and_wrong_answers_are_compared_by_a_paired_test() -> None:
    """The difference is the candidate's less the source's, with an interval of their pairs."""
    [found] = compare([score(answers(150))], [score(answers(120))], margin=0.05)

    assert (found.items, found.source, found.candidate) == (200, 0.75, 0.6)
    assert found.difference is not None
    assert found.difference.value == pytest.approx(-0.15)
    assert -0.21 < found.difference.low < -0.15 < found.difference.high < -0.09
    assert found.state == "fail"


@pytest.mark.parametrize(
    ("before", "after", "margin", "state"),
    [
        pytest.param(150, 150, 0.05, "pass", id="the same"),
        pytest.param(150, 160, 0.05, "pass", id="better"),
        pytest.param(150, 120, 0.05, "fail", id="worse"),
        pytest.param(150, 143, 0.05, "inconclusive", id="more than chance, less than the margin"),
        pytest.param(150, 120, None, None, id="no margin"),
    ],
)
def test_a_margin_makes_a_gate_of_a_task(
    before: int, after: int, margin: float | None, state: str | None
) -> None:
    """Without one, nothing is decided."""
    [found] = compare([score(answers(before))], [score(answers(after))], margin)

    assert found.state == state


def test_scores_that_are_no_shares_get_an_interval_of_their_differences() -> None:
    """Of a figure that had better be small, a larger one is the loss."""
    before = score({str(n): n / 10 for n in range(40)}, higher_is_better=False, metric="loss")
    after = score(
        {str(n): n / 10 + 0.5 + (n % 2) / 10 for n in range(40)},
        higher_is_better=False,
        metric="loss",
    )

    [found] = compare([before], [after], margin=0.1)

    assert found.difference is not None
    assert 0.5 < found.difference.low < found.difference.value == pytest.approx(0.55)
    assert found.state == "fail"
    assert compare([before], [after], margin=1.0)[0].state == "pass"


@pytest.mark.parametrize("items", [{}, {"0": 1.0}], ids=["only totals", "one item"])
def test_without_pairs_there_is_no_interval_and_no_verdict(items: dict[str, float]) -> None:
    """A margin is then inconclusive."""
    [found] = compare([score(items)], [score(items)], margin=0.5)

    assert (found.difference, found.state) == (None, "inconclusive")


def test_other_items_are_no_comparison() -> None:
    """Neither others, nor fewer, nor other metrics."""
    for other in ([score(answers(1, of=9))], [score(answers(1), metric="f1")], []):
        with pytest.raises(ItemsDiffer):
            compare([score(answers(1))], other)
