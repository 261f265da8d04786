"""Two models on the same prompts: what is lost beyond chance, and how surely a loss is found."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.evaluation import paired
from slipway.values import GateState, PairedCounts, Severity

MARGIN = 0.05


def counts(compared: int, lost: int, gained: int) -> PairedCounts:
    """Return what was lost and gained."""
    return PairedCounts(compared=compared, lost=lost, gained=gained)


@pytest.mark.parametrize(
    ("found", "state", "blocks"),
    [
        pytest.param((12, 0, 0), "pass", False, id="nothing lost in a small suite"),
        pytest.param((0, 0, 0), "pass", False, id="nothing to lose"),
        pytest.param((10, 1, 0), "inconclusive", False, id="too few to tell from chance"),
        pytest.param((10, 5, 0), "fail", True, id="five of ten are beyond chance"),
        pytest.param((4, 4, 0), "inconclusive", True, id="so few that nothing is beyond chance"),
        pytest.param((200, 5, 0), "pass", False, id="shown to be within the margin"),
        pytest.param((200, 6, 0), "inconclusive", True, id="beyond chance, perhaps in the margin"),
        pytest.param((200, 12, 2), "fail", True, id="beyond chance and the margin"),
        pytest.param((200, 15, 12), "pass", False, id="as many gained, so nearly all is chance"),
        pytest.param((2000, 30, 8), "pass", False, id="a sure loss, and a small one"),
    ],
)
def test_a_loss_is_held_against_chance_and_against_its_margin(
    found: tuple[int, int, int], state: GateState, *, blocks: bool
) -> None:
    """Chance comes first: what may be chance blocks nothing, unless everything may be."""
    result = paired.judge(counts(*found), MARGIN)

    assert (result.state, result.blocks) == (state, blocks)


def test_a_suite_is_too_small_to_decide_by_the_prompts_that_were_asked() -> None:
    """One lost prompt of twelve that have no right answer is shown, and no doubt that blocks."""
    lost = counts(1, 1, 0).model_copy(update={"others": 11})

    assert paired.judge(lost, MARGIN)[:2] == ("inconclusive", False)


def test_a_check_says_what_was_lost_and_how_likely_chance_is() -> None:
    """In one line, with the prompts at fault."""
    check = paired.check("loses nothing", counts(200, 12, 2), MARGIN, failing=("a", "b"))

    assert (check.passed, check.severity, check.failing) == (False, "critical", ("a", "b"))
    assert check.observed == (
        "12 lost and 2 gained of 200 prompts: a loss of 5 points (1.74 to 8.16), at most 5 points "
        "may be lost, p = 0.0065"
    )


def test_a_check_calls_a_gain_a_gain() -> None:
    """Its interval is turned round too; where it is wide, a loss is not excluded."""
    check = paired.check("loses nothing", counts(20, 1, 7), MARGIN)

    assert check.passed
    assert check.observed.startswith(
        "1 lost and 7 gained of 20 prompts: a gain of 30 points (5.65 to 48.9), at most 5 points "
    )


@pytest.mark.parametrize(
    ("found", "severity", "shown"),
    [((10, 1, 0), "critical", "warning"), ((10, 5, 0), "warning", "warning")],
)
def test_what_does_not_block_is_a_warning(
    found: tuple[int, int, int], severity: Severity, shown: Severity
) -> None:
    """Either since it may be chance, or since the catalogue says so."""
    check = paired.check("loses nothing", counts(*found), MARGIN, severity)

    assert check.severity == shown
    assert ("too few prompts" in check.observed) == (severity == "critical")


def test_the_p_value_is_that_of_the_exact_test() -> None:
    """One-sided: of 14 differing prompts, 12 or more heads."""
    assert paired.judge(counts(200, 12, 2), MARGIN).p_value == pytest.approx(106 / 2**14)


@pytest.mark.parametrize(("prompts", "loss"), [(200, 0.05), (200, 0.0), (60, 0.1), (400, 0.05)])
def test_the_stated_power_is_what_a_simulation_finds(prompts: int, loss: float) -> None:
    """4,000 releases, each judged; the standard error is below a percent point."""
    worse, better = loss + paired.ACCIDENTAL_SHARE / 2, paired.ACCIDENTAL_SHARE / 2
    generator = np.random.default_rng(0)
    drawn = generator.multinomial(prompts, [worse, better, 1 - worse - better], 4000)
    different, times = np.unique(drawn, axis=0, return_counts=True)
    blocked = [
        paired.judge(counts(prompts, int(lost), int(gained)), MARGIN).blocks
        for lost, gained, _ in different
    ]

    simulated = float(times[blocked].sum()) / len(drawn)

    assert simulated == pytest.approx(paired.power(prompts, MARGIN, loss), abs=0.025)


def test_two_hundred_prompts_find_a_loss_of_five_points() -> None:
    """At least four times of five, and what loses nothing is hardly ever blocked."""
    known = paired.suite_power(200, MARGIN)

    assert known.suffices
    assert paired.in_words(known) == (
        "With these 200 prompts, a loss of 5 points is found in 83 % of releases, and a model that "
        "loses nothing is blocked in less than 1 %."
    )


def test_a_small_suite_says_how_many_prompts_it_lacks() -> None:
    """And that many do suffice."""
    known = paired.suite_power(10, MARGIN)

    assert paired.in_words(known).endswith(
        "The suite is too small for its margin: to find it in 80 %, about 190 prompts with an "
        "expectation are needed."
    )
    assert paired.suite_power(190, MARGIN).suffices
    assert paired.suite_power(10, 0.0005).needed is None


@settings(deadline=None, max_examples=50)
@given(prompts=st.integers(0, 400), accidental=st.floats(0.001, 0.5))
def test_whatever_changes_by_accident_nothing_lost_is_hardly_ever_blocked(
    prompts: int, accidental: float
) -> None:
    """The test does not need the assumption that the stated power needs."""
    assert paired.power(prompts, MARGIN, 0.0, accidental) <= paired.MOST_FALSE_ALARMS


@settings(deadline=None)
@given(compared=st.integers(0, 300), gained=st.integers(0, 300))
def test_as_many_gained_as_lost_always_passes(compared: int, gained: int) -> None:
    """However few prompts there are."""
    gained = min(gained, compared // 2)

    assert paired.judge(counts(compared, gained, gained), MARGIN).state == "pass"
