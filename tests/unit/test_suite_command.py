"""``slipway suite check`` says what a suite can find out, and asks nothing."""

import json
from pathlib import Path

import pytest

from commands.suite import check
from slipway.errors import SourceMissing
from tests.support.healthy_answers import prompt
from tests.support.project import PROJECT


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """Return a file of twelve prompts, two of which have no right answer."""
    prompts = [
        prompt(f"question-{number}", expected=("nine",) if number < 10 else ())
        for number in range(12)
    ]
    path = tmp_path / "own.jsonl"
    path.write_text("\n".join(each.model_dump_json() for each in prompts), encoding="utf-8")
    return path


def test_a_suite_that_is_too_small_says_what_it_lacks(
    suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its exit code is 1, so that a job in CI notices."""
    assert check(suite) == 1

    printed = " ".join(capsys.readouterr().out.split())
    assert "own.jsonl: TOO SMALL for its margin" in printed
    assert "12, 10 of them with an expectation" in printed
    assert "about 190 prompts with an expectation are needed" in printed


def test_a_larger_margin_needs_fewer_prompts(
    suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As JSON, every number is there."""
    assert check(suite, margin=0.9, json=True) == 0

    found = json.loads(capsys.readouterr().out)
    assert (found["asked"], found["prompts"], found["margin"]) == (12, 10, 0.9)
    assert found["suffices"]
    assert found["words"].startswith("With these 10 prompts, a loss of 90 points is found in ")


def test_the_projects_full_suite_is_large_enough() -> None:
    """It finds a loss of the default margin four times of five."""
    assert check(PROJECT / "expectations" / "prompts" / "full.jsonl") == 0


def test_a_file_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    """Exit code 2."""
    with pytest.raises(SourceMissing) as raised:
        check(tmp_path / "none.json")

    assert raised.value.exit_code == 2
