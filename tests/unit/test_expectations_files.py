"""Suites, schemas and prompts are files: what is wrong with one is found before it matters."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from slipway.checks.prompt_files import load_prompts
from slipway.checks.suites import check, require_checkable, suite_digest
from slipway.errors import CatalogueInvalid, SourceMissing
from slipway.values import GateLimits, Gates, Wrappers
from tests.support import summaries
from tests.support.healthy_answers import PROMPTS, healthy, texts

SUITES = Path(__file__).parents[2] / "expectations"


@pytest.mark.parametrize(
    ("type_", "kwargs", "observed"),
    [
        pytest.param(
            "expect_column_values_to_not_be_null",
            {"column": "tone"},
            'Error: The column "tone" in BatchData does not exist.',
            id="raised by a metric",
        ),
        pytest.param(
            "expect_column_max_to_be_between",
            {"column": "output", "max_value": 5},
            "'<=' not supported between instances of 'str' and 'float'",
            id="raised by the expectation",
        ),
        pytest.param(
            "expect_table_row_count_to_equal",
            {"value": {"$PARAMETER": "prompts"}},
            "No value found for $PARAMETER prompts",
            id="raised before it ran",
        ),
    ],
)
def test_an_expectation_that_raises_is_undecided(
    tmp_path: Path, type_: str, kwargs: dict[str, Any], observed: str
) -> None:
    """Great Expectations reports exceptions in more than one shape; none passes for a failure."""
    (actual,) = check(healthy(), PROMPTS, suite(tmp_path, type=type_, kwargs=kwargs))

    assert (actual.passed, actual.failing) == (None, ())
    assert actual.observed.startswith(observed)


@pytest.mark.parametrize(
    ("type_", "kwargs", "passed", "observed"),
    [
        ("distinct_values_to_be_in_set", {"value_set": ["stop", "length"]}, True, ""),
        ("distinct_values_to_be_in_set", {"value_set": ["x"]}, False, "not allowed: ['stop']"),
        ("distinct_values_to_contain_set", {"value_set": ["x"]}, False, "missing: ['x']"),
        ("distinct_values_to_equal_set", {"value_set": ["stop"]}, True, ""),
        ("to_exist", {}, True, ""),
        ("to_exist", {"column": "tone"}, False, "column 'tone' is not there"),
        ("sum_to_be_between", {"column": "error", "max_value": 1}, None, "nothing to check"),
        ("distinct_values_to_be_in_set", {"column": "error", "value_set": ["x"]}, None, "noth"),
        ("unique_value_count_to_be_between", {"column": "error"}, None, "nothing to check"),
    ],
)
def test_an_expectation_about_a_whole_column_is_decided_by_its_values(
    tmp_path: Path, type_: str, kwargs: dict[str, Any], passed: bool | None, observed: str
) -> None:
    """Great Expectations returns no observed value for some, and a success for empty columns."""
    column = {"column": "finish_reason"}
    folder = suite(tmp_path, type=f"expect_column_{type_}", kwargs=column | kwargs)

    (actual,) = check(healthy(), PROMPTS, folder)

    assert actual.passed is passed
    assert actual.observed.startswith(observed)


def suite(folder: Path, **fields: Any) -> Path:
    """Write a suite of one expectation beside the schema of the chat contract."""
    given = {
        "description": "short",
        "severity": "warning",
        "type": "expect_column_values_to_not_be_null",
        "kwargs": {"column": "output"},
    }
    (folder / "chat.json").write_text(
        json.dumps({"name": "chat", "expectations": [given | fields]}), encoding="utf-8"
    )
    shutil.copy(SUITES / "chat.schema.json", folder)
    return folder


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        pytest.param({"type": "expect_wonders"}, "'short': expect_wonders not found", id="type"),
        pytest.param({"kwargs": {}}, "'short': 1 validation error for", id="arguments"),
        pytest.param(
            {"severity": "info"}, "expectations[0].severity: Input should be", id="severity"
        ),
        pytest.param({"describtion": ""}, "expectations[0].describtion: Extra inputs", id="field"),
    ],
)
def test_a_suite_with_a_fault_is_refused(
    tmp_path: Path, fields: dict[str, Any], fault: str
) -> None:
    """Great Expectations would leave out an expectation it does not know, and pass."""
    with pytest.raises(CatalogueInvalid) as raised:
        check(healthy(), PROMPTS, suite(tmp_path, **fields))

    (actual,) = raised.value.faults
    assert actual.startswith(fault)
    assert raised.value.path == str(tmp_path / "chat.json")


def test_a_contract_without_a_suite_is_refused(tmp_path: Path) -> None:
    """A missing suite or schema is named before any check."""
    (suite(tmp_path) / "chat.schema.json").unlink()
    with pytest.raises(SourceMissing, match=r"chat\.schema\.json"):
        suite_digest(tmp_path, "chat")
    with pytest.raises(SourceMissing, match=r"prompt\.json"):
        check(texts(), PROMPTS, tmp_path)


def test_the_digest_follows_the_suite_and_its_schema(tmp_path: Path) -> None:
    """A change of either makes another digest; one of the other contract's files does not."""
    shutil.copytree(SUITES, tmp_path, dirs_exist_ok=True)
    seen = [suite_digest(tmp_path, "chat")]
    for name in ("prompt.json", "prompt.schema.json", "chat.schema.json", "chat.json"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + b"\n")
        seen.append(suite_digest(tmp_path, "chat"))

    assert seen[0] == seen[1] == seen[2] == suite_digest(SUITES, "chat")
    assert len({seen[0], seen[3], seen[4]}) == 3


def test_prompts_that_leave_a_critical_check_without_a_value_are_refused(tmp_path: Path) -> None:
    """Every release would be inconclusive; this is known before the first."""
    shutil.copytree(SUITES, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "prompts" / "general.json"
    asked = [each.model_dump() for each in load_prompts(path)][:3]
    path.write_text(json.dumps([each | {"stop": [], "repeat": False} for each in asked]))
    chat = summaries.entry(wrappers=Wrappers(onnx="chat"))
    gates = Gates(answered_prompts=GateLimits(min=3))

    with pytest.raises(CatalogueInvalid) as refused:
        require_checkable(chat, tmp_path)
    path.write_text(json.dumps([each | {"stop": ["x"], "repeat": True} for each in asked]))
    require_checkable(chat.model_copy(update={"gates": gates}), tmp_path)

    count, repeat, stop = sorted(refused.value.faults)
    assert refused.value.path == str(path)
    assert count.startswith("3 prompts, and the gate answered_prompts needs 8; add some, or set")
    assert repeat.startswith(
        "no prompt has a field repeat, so the check 'asked again, the answer is"
    )
    assert stop.startswith("no prompt has a field stop, so the check 'no answer holds its stop")


def test_the_general_prompts_suffice_for_every_suite() -> None:
    """Under both contracts."""
    for contract in ("chat", "prompt"):
        require_checkable(summaries.entry(wrappers=Wrappers(onnx=contract)), SUITES)


def test_the_general_prompts_cover_what_a_release_may_meet() -> None:
    """They are many, cheap, and of every kind that the suites look at."""
    prompts = load_prompts(SUITES / "prompts" / "general.json")
    words = [len(" ".join(each.content for each in prompt.messages).split()) for prompt in prompts]
    groups = [prompt.group for prompt in prompts if prompt.group]

    assert len(prompts) >= 14
    assert sum(prompt.max_tokens for prompt in prompts) <= 420
    assert {8, 32} == {min(each := [p.max_tokens for p in prompts]), max(each)}
    assert (sum(prompt.repeat for prompt in prompts), len(groups), len(set(groups))) == (2, 3, 1)
    assert sum(bool(prompt.stop) for prompt in prompts) == 2
    assert any(len(prompt.messages) > 3 for prompt in prompts)
    assert (min(words), max(words) >= 400) == (1, True)
    assert any(ord(max(prompt.messages[0].content)) > 0xFFFF for prompt in prompts)
