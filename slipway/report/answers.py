"""The answers of a release: every one for MLflow's table, and a few side by side for the report."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from slipway.checks import answer_table
from slipway.values import ReleaseSummary, WrapperReport

CHAMPION = "champion"


class AnswerRow(NamedTuple):
    """One answer, read out of its response.

    Attributes:
        wrapper: ``onnx``, ``transformers``, or ``champion`` for the champion's ONNX wrapper.
        answer: The text; the whole response where no text can be read out of it.
        right: Whether the answer is right; None if the prompt has no right answer, or it is
            undecided.
        unmet: What a right answer does and this one does not.
    """

    wrapper: str
    prompt_id: str
    answer: answer_table.Cell
    finish_reason: answer_table.Cell
    latency_ms: float
    error: answer_table.Cell
    right: bool | None
    unmet: str

    @property
    def text(self) -> str:
        """The answer or its error, for people."""
        return f"❌ {self.error}" if self.error is not None else str(self.answer) or "(empty)"


def predictions(summary: ReleaseSummary) -> dict[str, Any]:
    """Return every answer of both wrappers and of the champion, as MLflow stores a table."""
    reports = (*summary.report.wrappers, summary.report.champion)
    names = (None, None, CHAMPION)
    rows = [row for each in zip(reports, names, strict=True) for row in _rows(*each)]
    return {"columns": list(AnswerRow._fields), "data": [list(row) for row in rows]}


def side_by_side(summary: ReleaseSummary) -> list[tuple[str, dict[str, str]]]:
    """Return every prompt with its answer by each wrapper that was tested.

    The prompts at fault come first. The list is empty if there is no answer at all.
    """
    report = summary.report
    tested = {"Reference": report.transformers, "Candidate": report.onnx}
    if report.champion:
        tested[f"Champion, version {report.champion.wrapper.version}"] = report.champion
    answers = {
        title: {row.prompt_id: row.text for row in _rows(each)} for title, each in tested.items()
    }
    answered = [prompt_id for each in answers.values() for prompt_id in each]
    at_fault = _at_fault(summary) if answered else ()
    return [
        (id_, {title: each.get(id_, "not asked") for title, each in answers.items()})
        for id_ in dict.fromkeys([*at_fault, *answered])
    ]


def right_by_tag(summary: ReleaseSummary) -> list[tuple[str, ...]]:
    """Return how many answers of each wrapper are right, of all prompts and by tag.

    The list is empty if no prompt has a right answer, or no wrapper could be asked.
    """
    report = summary.report
    tested = [each for each in (report.onnx, report.transformers, report.champion) if each]
    if not any(each.grades for each in tested):
        return []
    tags = {tag for each in tested for grade in each.grades for tag in grade.tags}
    return [
        (tag or "all", *(_right(each, tag) for each in tested)) for tag in (None, *sorted(tags))
    ]


def _right(report: WrapperReport, tag: str | None) -> str:
    """Return such as "7 of 10" for the prompts with a tag, all for None."""
    asked = [each for each in report.grades if tag is None or tag in each.tags]
    return f"{sum(bool(each.right) for each in asked)} of {len(asked)}" if asked else "—"


def _rows(report: WrapperReport | None, name: str | None = None) -> list[AnswerRow]:
    """Return the answers of one wrapper in the suite's order; none if it could not be asked."""
    if report is None or report.answers is None:
        return []
    rows = answer_table.rows(report.answers, ())
    grades = {each.prompt_id: each for each in report.grades}
    return [
        AnswerRow(
            wrapper=name or report.answers.kind,
            prompt_id=prediction.prompt_id,
            answer=row["response"] if row["output"] is None else row["output"],
            finish_reason=row["finish_reason"],
            latency_ms=prediction.latency_ms,
            error=row["error"],
            right=grade.right if grade else None,
            unmet="; ".join(grade.unmet) if grade else "",
        )
        for prediction, row in zip(report.answers.predictions, rows, strict=True)
        for grade in (grades.get(prediction.prompt_id),)
    ]


def _at_fault(summary: ReleaseSummary) -> Iterator[str]:
    """Yield the prompts that regressed, and then those that failed a check, critical ones first."""
    yield from (each.prompt_id for each in summary.report.regressions)
    for report in summary.report.wrappers:
        for check in sorted(report.checks, key=lambda each: each.severity):
            yield from check.failing
