"""Suites, schemas and prompts are files: what is wrong with one is found before it matters."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from slipway.checks.suites import check, load_prompts, suite_digest
from slipway.errors import CatalogueInvalid, SourceMissing
from tests.support.healthy_answers import PROMPTS, healthy, prompt, texts

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


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        pytest.param("[", ("Invalid JSON: EOF while parsing a list at line 1 column 1",), id="cut"),
        pytest.param("[]", ("there has to be at least one prompt",), id="empty"),
        pytest.param(
            '[{"id": "A b", "purpose": "", "messages": [], "max_tokens": 0}]',
            (
                "[0].id: String should match pattern '^[a-z0-9-]+$'",
                "[0].messages: Tuple should have at least 1 item after validation, not 0",
                "[0].max_tokens: Input should be greater than 0",
            ),
            id="fields",
        ),
    ],
)
def test_faults_of_the_prompts_are_named_all_at_once(
    tmp_path: Path, text: str, faults: tuple[str, ...]
) -> None:
    """One look at the error is enough to correct the file."""
    path = tmp_path / "general.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CatalogueInvalid) as raised:
        load_prompts(path)

    assert (str(path), faults) == (raised.value.path, raised.value.faults)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        pytest.param([prompt("a"), prompt("b"), prompt("a")], "id 'a' occurs 2 times", id="id"),
        pytest.param(
            [prompt("a", group="sea", max_tokens=8), prompt("b", group="sea", max_tokens=9)],
            "group 'sea': its prompts have to agree in max_tokens and stop",
            id="group",
        ),
    ],
)
def test_prompts_that_contradict_each_other_are_refused(
    tmp_path: Path, given: list[Any], fault: str
) -> None:
    """Two prompts of one id, or two limits in one call, are ambiguous."""
    path = tmp_path / "general.json"
    path.write_text(json.dumps([each.model_dump() for each in given]), encoding="utf-8")
    with pytest.raises(CatalogueInvalid) as raised:
        load_prompts(path)

    assert raised.value.faults == (fault,)


@pytest.mark.parametrize("name", ["absent.json", "."])
def test_missing_prompts_are_missing(tmp_path: Path, name: str) -> None:
    """A path to nothing, or to a folder, is named with the way out."""
    with pytest.raises(SourceMissing, match="was not found: write it"):
        load_prompts(tmp_path / name)
