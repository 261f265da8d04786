"""The answers of a smoke test are traces of its run, each with what the checks found."""

from pathlib import Path

from slipway.tracking import traces
from slipway.tracking.location import connect
from slipway.values import Prompt, PromptMessage
from tests.support.findings import LOOP
from tests.support.published_runs import open_run, place
from tests.support.summaries import ANSWERS, rejected


def test_every_answer_is_a_trace_once(tmp_path: Path) -> None:
    """MLflow's pages show question, answer and the failed checks; a retry adds none."""
    where = place(tmp_path)
    run_id = open_run(where)
    message = PromptMessage(role="user", content="What is that?")
    prompts = tuple(Prompt(id=each, purpose="", messages=(message,)) for each in ANSWERS)

    for _ in range(2):
        traces.log(run_id, rejected().report.wrappers, prompts, where)

    client = connect(where)
    experiment = client.get_run(run_id).info.experiment_id
    found = client.search_traces(locations=[experiment], run_id=run_id)
    assert len(found) == 2 * len(ANSWERS)
    (loop,) = (
        trace
        for trace in found
        if (trace.info.tags["slipway.prompt"], trace.info.tags["slipway.wrapper"])
        == ("batch-sea", "onnx")
    )
    assert loop.data.spans[0].inputs["messages"][0]["content"] == "What is that?"
    assert loop.data.spans[0].outputs == LOOP
    (checks,) = loop.info.assessments
    assert (checks.value, checks.rationale) == (False, "hardly any answer is a loop")
