"""The results of a release as JUnit XML, which CI systems show beside their other tests.

The form is that of Jenkins' ``junit-10.xsd``, which GitLab, GitHub's reporters, Azure and CircleCI
read too: ``testsuites``, ``testsuite`` and ``testcase``, each case with at most one of ``failure``,
``error`` and ``skipped``.
"""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Literal, NamedTuple
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from slipway.checks import answer_table
from slipway.evaluation.gates import in_words
from slipway.values import CheckResult, GateResult, Grade, ReleaseSummary, Severity, WrapperReport

_Outcome = Literal["passed", "failure", "error", "skipped"]
_COUNTED: tuple[tuple[_Outcome, str], ...] = (
    ("failure", "failures"),
    ("error", "errors"),
    ("skipped", "skipped"),
)
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class _Case(NamedTuple):
    """One test case: its outcome, why, and what is printed with it."""

    group: str
    name: str
    outcome: _Outcome = "passed"
    message: str = ""
    output: str = ""
    seconds: float = 0.0


def xml(summary: ReleaseSummary) -> bytes:
    """Return the results: prompts of the ONNX wrapper, checks of both wrappers, and gates.

    A wrong answer is a failure only where the transformers wrapper, which runs the source, is
    right: else it is skipped, since the release did not make it wrong. A check or a gate that only
    warns is skipped too if it does not hold.
    """
    name = summary.entry.name
    suites = {
        "prompts": [*_prompts(summary)],
        "checks": [*_checks(summary)],
        "gates": [*map(_gate, summary.gates)],
    }
    totals = _counts(name, [*chain(*suites.values())])
    del totals["skipped"]  # Jenkins' schema has it for a single suite only
    root = Element("testsuites", totals)
    for title, cases in suites.items():
        suite = SubElement(root, "testsuite", _counts(f"{name} {title}", cases))
        for case in cases:
            _write(suite, f"{name}.{title}.{case.group}", case)
    indent(root)
    return bytes(tostring(root, encoding="utf-8", xml_declaration=True))


def _prompts(summary: ReleaseSummary) -> Iterator[_Case]:
    """Yield a case for every answer of the ONNX wrapper, grouped by its first tag."""
    report = summary.report.onnx
    if report.answers is None:
        yield _Case("onnx", "could be asked", "error", report.error or "no answers")
        return
    grades = {each.prompt_id: each for each in report.grades}
    source = {each.prompt_id: each.right for each in summary.report.transformers.grades}
    rows = answer_table.rows(report.answers, ())
    for prediction, row in zip(report.answers.predictions, rows, strict=True):
        name = prediction.prompt_id
        grade = grades.get(name)
        outcome, message = _answer(prediction.error, grade, source.get(name), _failed(report, name))
        tag = grade.tags[0] if grade and grade.tags else summary.entry.suite
        output = str(row["output"] or row["response"] or "")
        yield _Case(tag, name, outcome, message, output, prediction.latency_ms / 1000)


def _answer(
    error: str | None, grade: Grade | None, source: bool | None, failed: list[str]
) -> tuple[_Outcome, str]:
    """Return the outcome of one answer, and why."""
    if error:
        return "error", error
    if failed:
        return "failure", f"fails: {'; '.join(failed)}"
    if grade is None or grade.right:
        return "passed", ""
    unmet = "; ".join(grade.unmet)
    if grade.right is None:
        return "error", f"undecided: {unmet}"
    if source:
        return "failure", f"only the source {unmet}"
    return "skipped", f"the source's answer is wrong too; a right one {unmet}"


def _failed(report: WrapperReport, prompt_id: str) -> list[str]:
    """Return the critical checks that the answer to a prompt fails."""
    return [
        check.name
        for check in report.checks
        if check.severity == "critical" and check.passed is False and prompt_id in check.failing
    ]


def _checks(summary: ReleaseSummary) -> Iterator[_Case]:
    report = summary.report
    groups = {
        "onnx": report.onnx.checks,
        "transformers": report.transformers.checks,
        "parity": report.parity,
        "champion": report.against_champion,
        "source": report.against_source,
        "capabilities": report.structured,
    }
    for group, checks in groups.items():
        yield from (_check(group, each) for each in checks)
    if report.transformers.answers is None:
        message = report.transformers.error or "no answers"
        yield _Case("transformers", "could be asked", "error", message)


def _check(group: str, check: CheckResult) -> _Case:
    prompts = ", ".join(check.failing)
    message = f"{check.observed} ({prompts})" if prompts else check.observed
    return _Case(group, check.name, _outcome(check.passed, check.severity), message)


def _gate(gate: GateResult) -> _Case:
    return _Case("gate", gate.metric, _outcome(gate.passed, gate.severity), in_words(gate))


def _outcome(passed: bool | None, severity: Severity) -> _Outcome:
    if passed:
        return "passed"
    if severity == "warning":
        return "skipped"
    return "error" if passed is None else "failure"


def _counts(name: str, cases: list[_Case]) -> dict[str, str]:
    found = Counter(case.outcome for case in cases)
    return {
        "name": name,
        "tests": str(len(cases)),
        **{attribute: str(found[outcome]) for outcome, attribute in _COUNTED},
        "time": f"{sum(case.seconds for case in cases):.3f}",
    }


def _write(suite: Element, group: str, case: _Case) -> None:
    attributes = {"classname": group, "name": case.name, "time": f"{case.seconds:.3f}"}
    element = SubElement(suite, "testcase", attributes)
    if case.outcome != "passed":
        SubElement(element, case.outcome, {"message": _plain(case.message)})
    if case.output:
        SubElement(element, "system-out").text = _plain(case.output)


def _plain(text: str) -> str:
    """Return a text without the characters that XML cannot hold."""
    return _NOT_XML.sub(_REPLACEMENT, text)
