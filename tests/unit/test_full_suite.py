"""The suite ``full``: 200 prompts of every kind, each with an answer that can be checked."""

from collections import Counter

import pytest

from slipway.checks.grading import numbers
from slipway.checks.prompt_files import load_prompts
from slipway.checks.suites import require_checkable
from slipway.settings import PROJECT
from slipway.values import Wrappers
from tests.support import summaries

FOLDER = PROJECT / "expectations"
PROMPTS = load_prompts(FOLDER / "prompts" / "full.jsonl")
TAGS = {
    *("facts", "arithmetic", "extraction", "formats", "instructions", "languages", "code"),
    *("refusals", "long-input", "turns"),
}


def test_it_has_200_prompts_with_short_answers_that_can_be_checked() -> None:
    """The sum of the limits is what it costs at most."""
    assert len(PROMPTS) == 200
    assert all(prompt.has_right_answer for prompt in PROMPTS)
    assert max(prompt.max_tokens for prompt in PROMPTS) == 32
    assert sum(prompt.max_tokens * (1 + prompt.repeat) for prompt in PROMPTS) <= 4_000
    assert Counter(prompt.tags[0] for prompt in PROMPTS).keys() == TAGS


@pytest.mark.parametrize("tag", [None, *sorted(TAGS)])
def test_it_and_each_of_its_tags_suffice_for_every_contract(tag: str | None) -> None:
    """Each has enough prompts, a stop text and a prompt that is asked again."""
    for contract in ("chat", "prompt"):
        entry = summaries.entry(
            suite="full", suite_tags=(tag,) if tag else (), wrappers=Wrappers(onnx=contract)
        )
        require_checkable(entry, FOLDER)


def test_a_number_that_is_wanted_is_not_in_its_question() -> None:
    """Else an answer that repeats the question would be right."""
    asked = {
        prompt.id: [*numbers(prompt.messages[-1].content)]
        for prompt in PROMPTS
        if prompt.number and prompt.number.value in numbers(prompt.messages[-1].content)
    }

    assert asked == {}


def test_no_question_is_asked_twice() -> None:
    """200 prompts are 200 observations."""
    assert len({prompt.messages for prompt in PROMPTS}) == len(PROMPTS)
