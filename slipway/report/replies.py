"""What the wrappers said, row by row."""

from typing import NamedTuple

from slipway import frame
from slipway.values import Dossier, WrapperKind, WrapperReport


class Reply(NamedTuple):
    """One answer, read out of its response.

    Attributes:
        wrapper: Who answered.
        prompt_id: What was asked.
        answer: The text; the whole response where no text can be read out of it.
        finish_reason: Why the answer ended, where the contract says so.
        latency_ms: How long it took.
        error: Why there is no answer.
    """

    wrapper: WrapperKind
    prompt_id: str
    answer: frame.Cell
    finish_reason: frame.Cell
    latency_ms: float
    error: frame.Cell


def replies(report: WrapperReport) -> list[Reply]:
    """Return what one wrapper said, in the suite's order; nothing when it could not be asked."""
    if report.answers is None:
        return []
    rows = frame.rows(report.answers, ())
    pairs = zip(report.answers.predictions, rows, strict=True)
    return [
        Reply(
            wrapper=report.answers.kind,
            prompt_id=prediction.prompt_id,
            answer=row["response"] if row["output"] is None else row["output"],
            finish_reason=row["finish_reason"],
            latency_ms=prediction.latency_ms,
            error=row["error"],
        )
        for prediction, row in pairs
    ]


def predictions(dossier: Dossier) -> dict[str, list[frame.Cell]]:
    """Return every answer of both wrappers as a table, for MLflow.

    Args:
        dossier: Everything about the release.

    Returns:
        Columns of equal length by name: those of ``Reply``.
    """
    rows = [reply for report in dossier.report.wrappers for reply in replies(report)]
    return {column: [getattr(row, column) for row in rows] for column in Reply._fields}
