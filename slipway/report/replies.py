"""What the wrappers said, row by row."""

from collections.abc import Iterator
from typing import NamedTuple

from slipway import frame
from slipway.values import Dossier, WrapperReport

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
    answer: frame.Cell
    finish_reason: frame.Cell
    latency_ms: float
    error: frame.Cell


def replies(report: WrapperReport | None, who: str | None = None) -> list[Reply]:
    """Return what one wrapper said, in the suite's order; nothing when it could not be asked.

    Args:
        report: Its smoke test; None if there was none.
        who: What it is called; the wrapper's kind by default.
    """
    if report is None or report.answers is None:
        return []
    rows = frame.rows(report.answers, ())
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


def predictions(dossier: Dossier) -> dict[str, list[frame.Cell]]:
    """Return every answer of both wrappers, and of the champion, as a table for MLflow.

    Args:
        dossier: Everything about the release.

    Returns:
        Columns of equal length by name: those of ``Reply``.
    """
    rows = list(_every(dossier))
    return {column: [getattr(row, column) for row in rows] for column in Reply._fields}


def _every(dossier: Dossier) -> Iterator[Reply]:
    for report in dossier.report.wrappers:
        yield from replies(report)
    yield from replies(dossier.report.champion, CHAMPION)
