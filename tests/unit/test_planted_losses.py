"""Candidates that lose prompts are blocked as often as the report says."""

from pathlib import Path

import pytest

from slipway.checks.regressions import CHAMPION, weigh
from slipway.evaluation import paired
from slipway.values import GateLimits
from tests.support.healthy_answers import prompt
from tests.support.planted_losses import blocked_share, recorded, report
from tests.support.summaries import summary

MARGIN, COUNT = 0.05, 200
PROMPTS = tuple(prompt(f"question-{number}", expected=("nine",)) for number in range(COUNT))
#: Three of five are right, as with a small model.
ANSWERS = {
    each.id: ("At nine.", True) if number % 5 < 3 else ("At ten.", False)
    for number, each in enumerate(PROMPTS)
}


@pytest.mark.parametrize(("loss", "least", "most"), [(MARGIN, 0.8, 1), (0.0, 0, 0.05)])
def test_a_loss_is_blocked_as_often_as_stated_and_no_loss_hardly_ever(
    loss: float, least: float, most: float
) -> None:
    """Fifty releases of 200 prompts, each compared with the recorded answers."""
    share = blocked_share(ANSWERS, PROMPTS, loss, MARGIN, draws=50)

    assert least <= share <= most
    assert share == pytest.approx(paired.power(COUNT, MARGIN, loss), abs=0.12)


@pytest.mark.parametrize("prompts", [COUNT, 10])
def test_the_report_prints_the_same_numbers(prompts: int) -> None:
    """Of the suite of this release; the whole sentence, also if a suite is too small."""
    from slipway.report.document import markdown

    known = paired.suite_power(prompts, MARGIN)
    release = summary()
    release = release.model_copy(
        update={"report": release.report.model_copy(update={"power": known})}
    )

    assert paired.in_words(known) in markdown(release, "picture.png")
    assert known.found == paired.power(prompts, MARGIN, MARGIN)


def test_a_release_of_the_same_answers_is_not_blocked() -> None:
    """However few prompts it has."""
    few = report(dict([*ANSWERS.items()][:12]))
    (check,) = weigh(CHAMPION, few, few, PROMPTS[:12], GateLimits(max=MARGIN))

    assert check.passed


def test_answers_of_a_release_are_read_back_and_graded(tmp_path: Path) -> None:
    """As ``predictions.json`` has them."""
    suite = tmp_path / "suite.json"
    suite.write_text(f"[{PROMPTS[0].model_dump_json()}]", encoding="utf-8")
    rows = [["onnx", "question-0", "At nine."], ["transformers", "question-0", "At ten."]]
    table = {"columns": ["wrapper", "prompt_id", "answer"], "data": rows}

    assert recorded(table, "transformers", suite) == {"question-0": ("At ten.", False)}
    assert recorded(table, "onnx", suite) == {"question-0": ("At nine.", True)}
