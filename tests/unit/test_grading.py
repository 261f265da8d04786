"""An answer is right or wrong by what its prompt expects, and nothing that it expects can hang."""

from pathlib import Path
from typing import Any

import pytest

from slipway.checks import grading
from slipway.checks.grading import grade, numbers, says
from slipway.system.process import ProcessLimits
from slipway.values import Grade, Prompt
from tests.support.healthy_answers import answers, predicted, prompt

AGE: dict[str, Any] = {
    "type": "object",
    "required": ["age"],
    "properties": {"age": {"type": "integer"}},
}
JUDGES = '''
import os

def polite(prompt, answer):
    """Say whether the answer thanks."""
    return "thank" in answer or "it does not thank after " + prompt["messages"][0]["content"]

def blind(prompt, answer):
    """Say what it can see of the environment."""
    return not [name for name, value in os.environ.items() if "canary" in value]

def broken(prompt, answer):
    """Raise."""
    return 1 / 0

def dumb(prompt, answer):
    """Say nothing."""

def stubborn(prompt, answer):
    """Never end, and catch whatever can be caught."""
    while True:
        try:
            while True:
                pass
        except Exception:
            pass

def leaves(prompt, answer):
    """End the process."""
    os._exit(0)
'''


def test_words_and_numbers_are_compared_without_a_child(tmp_path: Path) -> None:
    """The built-in suite costs no process; nothing is written where its log would be."""
    given = {
        "Tokyo, of course": {"expected": ("Kyoto", "TOKYO")},
        "I cannot say": {"forbidden": ("cannot",)},
        "It is 3.1416.": {"number": {"value": 3.14, "tolerance": 0.01}},
    }

    graded = grades(tmp_path, given)

    assert [(each.right, each.unmet) for each in graded] == [
        (True, ()),
        (False, ("does not say 'cannot'",)),
        (True, ()),
    ]
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    ("text", "word", "said"),
    [
        ("It is Madrid.", "madrid", True),
        ("12.5", "12", True),
        ("125", "12", False),
        ("東京です", "東京", True),
        ("서울입니다", "서울", True),
        ("übergroß", "groß", False),
        ("a ship, a 🚢!", "🚢", True),
        ("New York City", "new york", True),
        ("(x", "(x", True),
    ],
)
def test_a_word_is_a_whole_word_where_there_are_spaces(text: str, word: str, *, said: bool) -> None:
    """In scripts without spaces, or with particles, it may stand within a longer one."""
    assert says(text, word) is said


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1,234,567 or 12", [1234567, 12]),
        ("-5 and \N{MINUS SIGN}7, 10-5", [-5, -7, 10, 5]),
        ("3.5e3 is 3500.", [3500, 3500]),
        ("2, 3 and 1,2", [2, 3, 1, 2]),
        ("none", []),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, found: list[float]) -> None:
    """A comma separates thousands, a hyphen between two digits is no sign."""
    assert list(numbers(text)) == found


def test_forms_and_judges_are_graded_in_a_child_without_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All conditions of a prompt count; a reason says which is unmet.

    The folder may be relative to this process.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "canary")
    given = {
        "yes, sure": {"matches": ("^yes", "sure$")},
        "no": {"matches": ("^yes",)},
        '{"age": 36}': {"json_schema": AGE},
        'Here:\n```json\n{"age": 36}\n```': {"json_schema": AGE},
        '{"age": "old"}': {"json_schema": AGE},
        '{"age": 36': {"json_schema": AGE},
        "thank you": {"judge": "judges:polite", "expected": ("you",)},
        "go": {"judge": "judges:polite"},
        "see": {"judge": "judges:blind"},
    }

    graded = grades(Path(), given)

    assert [each.right for each in graded] == [1, 0, 1, 1, 0, 0, 1, 0, 1]
    assert graded[1].unmet == ("matches '^yes'",)
    assert graded[4].unmet == ("fits its JSON schema ($.age: 'old' is not of type 'integer')",)
    assert graded[5].unmet[0].startswith("fits its JSON schema (no JSON: ")
    assert graded[7].unmet == ("satisfies judges:polite (it does not thank after go?)",)


def test_what_never_ends_is_undecided_and_the_rest_is_graded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An expression that explodes costs its time limit, and blocks the release."""
    monkeypatch.setattr(grading, "ANSWER_SECONDS", 2)
    given = {
        "a" * 40 + "!": {"matches": ("^(a+)+$",)},
        "quick": {"judge": "judges:stubborn"},
        "1": {"judge": "judges:broken"},
        "2": {"judge": "judges:dumb"},
        "fine": {"matches": ("fine",)},
        "{}": {"json_schema": {"$ref": "#/$defs/gone"}},
    }
    prompts, _ = asked(given)
    (tmp_path / "judges.py").write_text(JUDGES, encoding="utf-8")
    texts = dict(zip((each.id for each in prompts), given, strict=True))

    (graded,) = grading.graded(
        grading.GradeRequest(prompts=prompts, texts=(texts,), folder=tmp_path)
    )

    assert [each.right for each in graded] == [None, None, None, None, True, None]
    assert graded[0].unmet == graded[1].unmet == ("not decided within 2 s",)
    assert graded[2].unmet == ("judge judges:broken: ZeroDivisionError: division by zero",)
    assert "returned None, expected True, False or a reason" in graded[3].unmet[0]
    (check,) = grading.check_decided(tuple(graded), prompts)
    assert (check.passed, check.severity, len(check.failing)) == (None, "critical", 5)


def test_a_judge_that_ends_the_process_leaves_everything_undecided(tmp_path: Path) -> None:
    """Of every wrapper that was asked; one that was not has no grades."""
    prompts, said = asked({"a": {"judge": "judges:leaves"}, "b": {"expected": ("b",)}})
    (tmp_path / "judges.py").write_text(JUDGES, encoding="utf-8")

    first, none, second = grade(prompts, (said, None, said), tmp_path, limits(tmp_path))

    assert [each.right for each in (*first, *second)] == [None] * 4
    assert none == ()


def test_no_answer_is_a_wrong_one_and_without_expectation_none_is_graded(tmp_path: Path) -> None:
    """An error blocks a release by a check of its own."""
    gone = predicted("a", "", response=None, error="too long")
    prompts = (prompt("a", expected=("x",), tags=("fact",)), prompt("b"))

    (graded,) = grade(
        prompts,
        (answers(gone, predicted("b", "b"), contract="prompt"),),
        tmp_path,
        limits(tmp_path),
    )

    assert graded == (Grade(prompt_id="a", tags=("fact",), right=False, unmet=("answers",)),)


def grades(folder: Path, given: dict[str, dict[str, Any]]) -> tuple[Grade, ...]:
    """Return the grades of answers, by what was expected of each."""
    prompts, said = asked(given)
    (folder / "judges.py").write_text(JUDGES, encoding="utf-8")
    (graded,) = grade(prompts, (said,), folder, limits(folder))
    return graded


def asked(given: dict[str, dict[str, Any]]) -> tuple[tuple[Prompt, ...], Any]:
    """Return a prompt for each answer, which asks with the answer itself, and the answers."""
    names = [f"p{number}" for number in range(len(given))]
    prompts = tuple(
        prompt(name, messages=[{"role": "user", "content": f"{text}?"}], **fields)
        for name, (text, fields) in zip(names, given.items(), strict=True)
    )
    said = (predicted(name, text) for name, text in zip(names, given, strict=True))
    return prompts, answers(*said, contract="prompt")


def limits(folder: Path) -> ProcessLimits:
    """Return the limits of a step, with its log below ``folder``."""
    return ProcessLimits(timeout_seconds=60, memory_bytes=None, logs=folder / "logs")
