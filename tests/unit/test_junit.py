"""The JUnit XML of a release says the same as its report, in the form that CI systems read."""

import re
from collections import Counter
from typing import Any
from xml.etree.ElementTree import Element, fromstring

import pytest

from slipway.report import junit
from slipway.report.answers import predictions, right_by_tag
from slipway.report.document import markdown
from slipway.values import CheckResult, Grade, Prediction, ReleaseSummary, WrapperReport
from tests.support.findings import UNDECIDED_CHECK
from tests.support.summaries import (
    answering,
    asked,
    inconclusive,
    passed,
    promoted,
    rejected,
    summary,
    unasked,
)

#: What Jenkins' junit-10.xsd allows, as far as it is used here.
ALLOWED: dict[str, tuple[set[str], set[str]]] = {
    "testsuites": ({"name", "tests", "failures", "errors", "time"}, {"testsuite"}),
    "testsuite": ({"name", "tests", "failures", "errors", "skipped", "time"}, {"testcase"}),
    "testcase": (
        {"classname", "name", "time"},
        {"failure", "error", "skipped", "system-out"},
    ),
    **{name: ({"message"}, set()) for name in ("failure", "error", "skipped")},
    "system-out": (set(), set()),
}
TEXTS = {"right": "It is Tokyo.", "lost": "It is Paris.", "never": "I see.", "open": "Hm."}


@pytest.mark.parametrize("release", [promoted(), rejected(), inconclusive(), unasked()])
def test_every_release_is_valid_and_counts_what_it_holds(release: ReleaseSummary) -> None:
    """Elements and attributes are allowed where they stand, and the totals are true."""
    root = fromstring(junit.xml(release))  # noqa: S314 - our own

    for element in root.iter():
        attributes, children = ALLOWED[element.tag]
        assert set(element.attrib) <= attributes
        assert {each.tag for each in element} <= children
    for case in root.iter("testcase"):
        assert sum(each.tag != "system-out" for each in case) <= 1
        assert re.fullmatch(r"\d+\.\d{3}", case.attrib["time"])
    for suite in (root, *root):
        cases = [*suite.iter("testcase")]
        outcomes = Counter(each.tag for case in cases for each in case)
        assert int(suite.attrib["tests"]) == len(cases)
        assert int(suite.attrib["failures"]) == outcomes["failure"]
        assert int(suite.attrib["errors"]) == outcomes["error"]
        assert int(suite.get("skipped", outcomes["skipped"])) == outcomes["skipped"]


def test_a_release_that_passes_has_no_failure_and_one_that_does_not_has_some() -> None:
    """As its exit code."""
    good, bad, doubtful, silent = (
        fromstring(junit.xml(each)).attrib  # noqa: S314 - our own
        for each in (promoted(), rejected(), inconclusive(), unasked())
    )

    assert (good["failures"], good["errors"]) == ("0", "0")
    assert int(bad["failures"]) > 0
    assert int(doubtful["errors"]) > 0
    assert int(silent["errors"]) > 0


def test_an_answer_fails_only_where_the_source_is_right() -> None:
    """A small model is wrong often; that is its source's fault, and no failure of the release."""
    cases = by_name(graded())

    assert [each.tag for each in cases["right"]] == ["system-out"]
    assert outcome(cases["lost"]) == ("failure", "only the source says 'Tokyo'")
    assert outcome(cases["never"])[0] == "skipped"
    assert outcome(cases["open"]) == ("error", "undecided: not decided within 5 s")
    assert cases["lost"].attrib["classname"] == "smollm2-135m.prompts.facts"
    assert cases["lost"].findtext("system-out") == "It is Paris."


def test_a_critical_check_counts_and_one_that_warns_is_skipped() -> None:
    """An undecided one is an error."""
    cases = by_name(rejected())
    undecided = by_name(summary(asked("onnx", checks=(*passed("onnx"), UNDECIDED_CHECK))))

    assert outcome(cases["batch-sea"]) == ("failure", "fails: hardly any answer is a loop")
    assert cases["batch-sea"].attrib["classname"] == "smollm2-135m.prompts.general"
    assert outcome(undecided[UNDECIDED_CHECK.name])[0] == "error"


def test_a_capability_that_was_lost_is_a_failure() -> None:
    """It rejects a release, as a check of a wrapper does."""
    lost = CheckResult(
        name="as many answers are valid JSON as the source's",
        severity="critical",
        passed=False,
        failing=("json-person",),
        observed="7 of 20 against 19",
    )
    release = promoted()
    report = release.report.model_copy(update={"structured": (lost,)})

    case = by_name(release.model_copy(update={"report": report}))[lost.name]

    assert outcome(case) == ("failure", "7 of 20 against 19 (json-person)")
    assert case.attrib["classname"] == "smollm2-135m.checks.capabilities"


def test_what_xml_cannot_hold_is_replaced() -> None:
    """A model may answer with any character."""
    cases = by_name(answering("a\x00b\x0b<c>&\ufffe\nd"))

    assert cases["capital"].findtext("system-out") == "a\ufffdb\ufffd<c>&\ufffd\nd"


def test_an_answer_without_text_has_its_error() -> None:
    """Its message is that of the wrapper."""
    report = asked("onnx")
    gone = Prediction(prompt_id="gone", response=None, latency_ms=1, error="too long")
    silent = report.model_copy(
        update={"answers": report.answers.model_copy(update={"predictions": (gone,)})}  # type: ignore[union-attr]
    )

    assert outcome(by_name(summary(silent))["gone"]) == ("error", "too long")


def test_the_report_and_the_table_say_what_is_right() -> None:
    """In all and by tag, and what is unmet of each answer."""
    release = graded()
    table = predictions(release)
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]

    assert right_by_tag(release) == [
        ("all", "1 of 4", "2 of 3"),
        ("facts", "1 of 2", "2 of 2"),
    ]
    assert "## Right answers" in markdown(release, "picture.png")
    assert "| facts | 1 of 2 | 2 of 2 |\n" in markdown(release, "picture.png")
    assert "## Right answers" not in markdown(promoted(), "picture.png")
    found = {row["prompt_id"]: (row["right"], row["unmet"]) for row in rows[:4]}
    assert found["lost"] == (False, "says 'Tokyo'")
    assert found["right"] == (True, "")


def graded() -> ReleaseSummary:
    """Return a release with a right answer, one that was lost, a wrong one, and an undecided."""
    onnx = [
        grade("right", right=True, tags=("facts",)),
        grade("lost", right=False, tags=("facts",)),
        grade("never", right=False),
        grade("open", right=None, unmet=("not decided within 5 s",)),
    ]
    source = [
        grade("right", right=True, tags=("facts",)),
        grade("lost", right=True, tags=("facts",)),
        grade("never", right=False),
    ]
    return summary(with_grades("onnx", onnx), with_grades("transformers", source))


def with_grades(kind: Any, grades: list[Grade]) -> WrapperReport:
    """Return the smoke test of a wrapper with these grades."""
    return asked(kind, TEXTS).model_copy(update={"grades": tuple(grades)})


def grade(
    name: str,
    *,
    right: bool | None,
    unmet: tuple[str, ...] = ("says 'Tokyo'",),
    tags: tuple[str, ...] = (),
) -> Grade:
    """Return a grade; a wrong answer does not say Tokyo."""
    return Grade(prompt_id=name, right=right, unmet=() if right else unmet, tags=tags)


def by_name(release: ReleaseSummary) -> dict[str, Element]:
    """Return the test cases of a release by their names."""
    root = fromstring(junit.xml(release))  # noqa: S314 - our own
    return {case.attrib["name"]: case for case in root.iter("testcase")}


def outcome(case: Element) -> tuple[str, str]:
    """Return the outcome of a case, and its message."""
    first, *_ = case
    return first.tag, first.attrib["message"]
