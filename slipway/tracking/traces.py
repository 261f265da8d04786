"""The answers of a smoke test as traces of its run: MLflow's pages for GenAI show nothing else."""

import logging
from typing import Any

from slipway.checks import answer_table
from slipway.tracking.location import MlflowLocation, connect
from slipway.values import Prediction, Prompt, WrapperReport

_CHECKS = "checks"
_RUN = "mlflow.sourceRun"


def log(
    run_id: str,
    reports: tuple[WrapperReport, ...],
    prompts: tuple[Prompt, ...],
    location: MlflowLocation,
) -> None:
    """Log one trace an answer, with the checks that it failed; nothing if the run has traces.

    Args:
        run_id: The run of the release.
        reports: Of both wrappers; one that could not be asked has no traces.
        prompts: What was asked.
        location: The MLflow.
    """
    client = connect(location)
    import mlflow

    experiment_id = client.get_run(run_id).info.experiment_id
    if client.search_traces(locations=[experiment_id], run_id=run_id, max_results=1):
        return
    mlflow.tracing.reset()  # an exporter of before writes where MLflow was then
    place = (experiment_id, run_id)
    asked = {prompt.id: prompt for prompt in prompts}
    traces = {
        _log(report, answer, row, asked[answer.prompt_id], place): (report, answer)
        for report in reports
        if (answers := report.answers)
        for answer, row in zip(answers.predictions, answer_table.rows(answers, ()), strict=True)
        if answer.prompt_id in asked
    }
    mlflow.flush_trace_async_logging()
    # MLflow flushes once more when Python ends, and says so below the summary of a release.
    logging.getLogger("mlflow.tracing.export.async_export_queue").setLevel(logging.WARNING)
    for trace_id, (report, answer) in traces.items():
        failed = [each.name for each in report.checks if answer.prompt_id in each.failing]
        rationale = "; ".join(failed) or None
        mlflow.log_feedback(trace_id=trace_id, name=_CHECKS, value=not failed, rationale=rationale)


def _log(
    report: WrapperReport,
    answer: Prediction,
    row: answer_table.Row,
    prompt: Prompt,
    place: tuple[str, str],
) -> str:
    """Return the id of the trace of one answer, which is sent in the background."""
    import mlflow
    from mlflow.entities import SpanType

    kind, (experiment_id, run_id) = report.wrapper.kind, place
    text = row["response"] if row["output"] is None else row["output"]
    span: Any = mlflow.start_span_no_context(
        f"{kind}: {prompt.id}",
        SpanType.CHAT_MODEL,
        inputs={"messages": [message.model_dump() for message in prompt.messages]},
        tags={"slipway.prompt": prompt.id, "slipway.wrapper": kind},
        metadata={_RUN: run_id},
        experiment_id=experiment_id,
    )
    span.end(
        outputs=answer.error or text,
        status="ERROR" if answer.error else "OK",
        end_time_ns=span.start_time_ns + int(answer.latency_ms * 1e6),
    )
    return str(span.trace_id)
