"""What the wrappers said, row by row."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from slipway.checks import answer_table
from slipway.values import ReleaseSummary, WrapperReport

CHAMPION = "champion"


class Reply(NamedTuple):
    """One answer, read out of its response.

    Attributes:
        wrapper: Who answered: ``onnx``, ``transformers``, or ``champion`` for the ONNX wrapper that
            served before.
        prompt_id: What was asked.
        answer: The text; the whole response where no text can be read out of it.
        finish_reason: Why the answer ended, where the contract says so.
        latency_ms: How long it took.
        error: Why there is no answer.
    """

    wrapper: str
    prompt_id: str
    answer: answer_table.Cell
    finish_reason: answer_table.Cell
    latency_ms: float
    error: answer_table.Cell


def replies(report: WrapperReport | None, who: str | None = None) -> list[Reply]:
    """Return what one wrapper said, in the suite's order; nothing when it could not be asked.

    Args:
        report: Its smoke test; None if there was none.
        who: What it is called; the wrapper's kind by default.
    """
    if report is None or report.answers is None:
        return []
    rows = answer_table.rows(report.answers, ())
    pairs = zip(report.answers.predictions, rows, strict=True)
    return [
        Reply(
            wrapper=who or report.answers.kind,
            prompt_id=prediction.prompt_id,
            answer=row["response"] if row["output"] is None else row["output"],
            finish_reason=row["finish_reason"],
            latency_ms=prediction.latency_ms,
            error=row["error"],
        )
        for prediction, row in pairs
    ]


def predictions(summary: ReleaseSummary) -> dict[str, Any]:
    """Return every answer of both wrappers, and of the champion, as MLflow stores a table.

    Args:
        summary: Everything about the release.

    Returns:
        Names of the columns, which are those of ``Reply``, and the rows.
    """
    return {"columns": list(Reply._fields), "data": [list(row) for row in _every(summary)]}


def _every(summary: ReleaseSummary) -> Iterator[Reply]:
    for report in summary.report.wrappers:
        yield from replies(report)
    yield from replies(summary.report.champion, CHAMPION)
