"""An older source does not replace a newer one, in whatever order their releases end."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from slipway.evaluation import source_order
from slipway.values import Promoted, Rejected, SourceCommit

PASSED = Promoted(reasons=("all checks hold",))
FAILED = Rejected(reasons=("it answers in verse",))
FIRST = datetime(2026, 11, 1, tzinfo=UTC)


def commit(number: int, repo: str = "acme/tiny") -> SourceCommit:
    """Return one of a repository's commits, a day apart."""
    return SourceCommit(repo=repo, commit=f"{number:040x}", at=FIRST + timedelta(days=number))


def champion_after(order: Sequence[int], passing: set[int]) -> int | None:
    """Return the commit that is champion once releases have ended in this order."""
    champion: SourceCommit | None = None
    for number in order:
        verdict = PASSED if number in passing else FAILED
        if source_order.judge(verdict, commit(number), champion).kind == "promoted":
            champion = commit(number)
    return None if champion is None else int(champion.commit, 16)


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_the_newest_that_passed_is_champion_in_every_order(order: tuple[int, ...]) -> None:
    """Whichever of the four pass their gates: all 16 choices."""
    for choice in range(16):
        passing = {number for number in range(4) if choice >> number & 1}
        assert champion_after(order, passing) == max(passing, default=None)


def test_the_reason_names_both_commits_and_what_a_person_can_do() -> None:
    """Their dates too, since these decide."""
    verdict = source_order.judge(PASSED, commit(0), None, commit(3))

    assert isinstance(verdict, Rejected)
    (reason,) = verdict.reasons
    assert "acme/tiny@00000000 of 2026-11-01 00:00:00 is older than" in reason
    assert "of 2026-11-04" in reason
    assert "--force and --reason" in reason


def test_what_cannot_be_compared_is_not_older() -> None:
    """Another repository, the same moment, and a record of an earlier version without a date."""
    undated = commit(0).model_copy(update={"at": None})

    assert not source_order.is_older(commit(0), commit(3, "acme/other"))
    assert not source_order.is_older(commit(3), commit(3))
    assert not source_order.is_older(undated, commit(3))
    assert not source_order.is_older(commit(0), undated)


def test_a_verdict_of_the_gates_stays() -> None:
    """What they rejected was not rejected for its age."""
    assert source_order.judge(FAILED, commit(0), commit(3)) == FAILED
    assert source_order.judge(PASSED, commit(3), commit(0)) == PASSED
