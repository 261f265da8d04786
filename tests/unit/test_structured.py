"""Whether a candidate writes documents and calls tools as well as its source."""

from pathlib import Path
from typing import Literal

import pytest

from slipway.checks import structured_files, structured_grades
from slipway.checks.structured_grades import ARGUMENTS, CALLS, DOCUMENTS, TOOLS
from slipway.checks.tool_calls import calls
from slipway.errors import CatalogueInvalid, SourceMissing
from slipway.evaluation import gates
from slipway.evaluation.decision import judge
from slipway.system.process import ProcessLimits
from slipway.values import (
    Answers,
    CheckResult,
    GateLimits,
    Gates,
    StructuredAnswer,
    ToolCall,
)
from tests.support.recorded_answers import (
    Change,
    answers,
    as_it_is,
    in_other_markup,
    questions,
    without_last_brace,
)
from tests.support.summaries import asked, entry, promoted

LOST: Literal["lost_questions"] = "lost_questions"
MARGIN = gates.margin(Gates(), LOST)
OSLO = '{"name": "get_weather", "arguments": {"city": "Oslo"}}'


def checks(tmp_path: Path, change: Change) -> dict[str, CheckResult]:
    """Return what is said of a candidate whose answers are the source's, changed."""
    limits = ProcessLimits(timeout_seconds=60, memory_bytes=None, logs=tmp_path)
    source, candidate = (_answers(answers(each)) for each in (as_it_is, change))
    found = structured_grades.compare(questions(), source, candidate, MARGIN, limits)
    return {check.name: check for check in found}


def of_tools(change: Change, source: Change = as_it_is) -> dict[str, CheckResult]:
    """Return the checks of the questions with tools."""
    prompts = tuple(each for each in questions() if each.tools)
    both = answers(source), answers(change)
    return {check.name: check for check in structured_grades.compare_calls(prompts, *both, MARGIN)}


def test_a_candidate_that_answers_as_its_source_passes(tmp_path: Path) -> None:
    """Every facet says how many are right of how many."""
    found = checks(tmp_path, as_it_is)

    assert {name: check.passed for name, check in found.items()} == dict.fromkeys(
        (DOCUMENTS, CALLS, TOOLS, ARGUMENTS), True
    )
    assert found[DOCUMENTS].observed.startswith("right in 20 of 20, the source in 20; 0 lost")
    assert found[CALLS].observed.startswith("right in 24 of 24")


def test_json_without_its_last_brace_is_caught(tmp_path: Path) -> None:
    """And tools are no part of that fault; the release is not promoted."""
    found = checks(tmp_path, without_last_brace)
    failed = {name for name, check in found.items() if check.passed is not True}
    report = promoted().report.model_copy(update={"structured": tuple(found.values())})

    assert failed == {DOCUMENTS}
    assert (found[DOCUMENTS].passed, found[DOCUMENTS].severity) == (False, "critical")
    assert len(found[DOCUMENTS].failing) == 20
    assert judge(report, promoted().gates).kind == "rejected"


def test_calls_in_another_markup_are_broken() -> None:
    """The client's parser knows the markup of the source alone."""
    found = of_tools(in_other_markup)

    assert {name: check.passed for name, check in found.items()} == dict.fromkeys(
        (CALLS, TOOLS, ARGUMENTS), False
    )


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        pytest.param(lambda _, text: text.replace("</tool_call>", ""), {CALLS, TOOLS, ARGUMENTS}),
        pytest.param(lambda _, text: text.replace('"}', '"'), {CALLS, TOOLS, ARGUMENTS}),
        pytest.param(lambda _, text: text.replace("get_weather", "add"), {TOOLS, ARGUMENTS}),
        pytest.param(lambda _, text: text + text, {TOOLS, ARGUMENTS}),
        pytest.param(lambda _, text: text.replace('"city"', '"town"'), {ARGUMENTS}),
        pytest.param(lambda _, text: text.replace("Paris", " PARIS "), set()),
        pytest.param(lambda _prompt, _text: "I cannot.", {CALLS, TOOLS, ARGUMENTS}),
        pytest.param(
            lambda prompt, text: text if prompt.call else f"<tool_call>\n{OSLO}\n</tool_call>",
            {CALLS},
        ),
    ],
    ids=["no end", "no brace", "tool", "twice", "argument", "letter case", "none", "always"],
)
def test_each_facet_finds_its_fault(change: Change, failed: set[str]) -> None:
    """Call or no call, the right tool, the right arguments."""
    found = of_tools(change)

    assert {name for name, check in found.items() if check.passed is not True} == failed


def test_a_source_without_the_capability_is_inconclusive() -> None:
    """It has nothing to lose, so nothing would be found; its own error is named."""
    found = of_tools(as_it_is, source=lambda _prompt, _text: "I cannot.")
    error = (StructuredAnswer(prompt_id="json-person", error="it hung"),)
    (check, *_) = structured_grades.compare_calls(questions()[-1:], error, error, MARGIN)

    assert (found[TOOLS].passed, found[TOOLS].severity) == (None, "critical")
    assert "right in 0 of 16, the source in 0: the source lacks" in found[TOOLS].observed
    assert check.observed.endswith("the source lacks this capability, it hung")


def test_the_entry_says_how_much_may_be_lost(tmp_path: Path) -> None:
    """As of prompts; with an empty limit, nothing is checked."""
    both = tuple(_answers(answers(each)) for each in (as_it_is, without_last_brace))
    limits = ProcessLimits(timeout_seconds=60, memory_bytes=None, logs=tmp_path)
    own = gates.margin(Gates(lost_questions=GateLimits(max=0.3, severity="warning")), LOST)

    first, *_ = structured_grades.compare(questions(), *both, own, limits)

    assert (first.passed, first.severity) == (False, "warning")
    assert "at most 30 points may be lost" in first.observed
    assert structured_grades.compare(questions(), *both, GateLimits(), limits) == ()


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        (f"<tool_call>\n{OSLO}\n</tool_call>", ("<tool_call>", "</tool_call>")),
        (f"[TOOL_CALLS] [{OSLO}]", ("[TOOL_CALLS]", "")),
        (f"Sure: {OSLO} is what I call.", ("", "")),
        (OSLO.replace("arguments", "parameters"), ("", "")),
        (OSLO.replace('{"city": "Oslo"}', '"{\\"city\\": \\"Oslo\\"}"'), ("", "")),
    ],
)
def test_calls_are_read_in_whatever_markup(text: str, markup: tuple[str, str]) -> None:
    """Those of Hermes and Qwen, of Mistral, of Llama, and of OpenAI's API."""
    (found,) = calls(text)

    assert (found.call, found.markup) == (
        ToolCall(name="get_weather", arguments={"city": "Oslo"}),
        markup,
    )


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '{"name": "Ada"}', "[" * 5000, OSLO[:-1]])
def test_other_json_is_no_call(text: str) -> None:
    """Nor is broken JSON, however deep."""
    assert not [*calls(text)]


def test_only_an_entry_with_capabilities_is_asked_for_them(tmp_path: Path) -> None:
    """A file that is missing or without a form is named before anything is built."""
    able = entry(capabilities=("json",))
    folder = tmp_path / "capabilities"
    folder.mkdir()

    assert structured_files.request_of(entry(), tmp_path).prompts == ()
    assert structured_files.digests(entry(), tmp_path) == {}
    with pytest.raises(SourceMissing, match=r"json\.json"):
        structured_files.request_of(able, tmp_path)
    (folder / "json.json").write_text(
        '{"prompts": [{"id": "a", "messages": [{"role": "user", "content": "Hm."}]}]}'
    )
    with pytest.raises(CatalogueInvalid, match="every prompt has to have a json_schema"):
        structured_files.request_of(able, tmp_path)


def test_the_candidate_reads_what_the_source_rendered() -> None:
    """A question that the source could not render is not asked."""
    request = structured_files.request_of(entry(), Path())
    source = _answers(
        (
            StructuredAnswer(prompt_id="a", rendered="<|user|>Hm.", text="Hm."),
            StructuredAnswer(prompt_id="b", error="no tools"),
        )
    )

    assert structured_files.repeated(request, source).rendered == {"a": "<|user|>Hm."}
    assert structured_files.repeated(request, None).rendered == {}


def _answers(structured: tuple[StructuredAnswer, ...]) -> Answers:
    found = asked("onnx", structured=structured).answers
    assert found is not None
    return found
