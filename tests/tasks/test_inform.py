"""What only tells people: it is shown where it can be, and never fails or delays a step."""

import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.faulty_proxy import faulty_proxy
from tests.support.project import Project

pytestmark = pytest.mark.usefixtures("prefect_backend")


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """Give the lines of the runs' logs."""
    import prefect.main  # noqa: F401 - which removes the handlers of its loggers

    kept: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kept.append(record.getMessage())

    keeper, loggers = (
        Keeper(),
        [logging.getLogger(f"prefect.{each}_runs") for each in ("flow", "task")],
    )
    for logger in loggers:
        logger.addHandler(keeper)
    yield kept
    for logger in loggers:
        logger.removeHandler(keeper)


@contextmanager
def without_artifacts(fault: int | None) -> Iterator[list[str]]:
    """Let Prefect's server show no artifacts while the body runs; give the paths that failed."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    server = str(PREFECT_API_URL.value()).removesuffix("/api")
    with (
        faulty_proxy(server, "/api/artifacts", fault) as (address, faults),
        temporary_settings({PREFECT_API_URL: f"{address}/api"}),
    ):
        yield faults


def test_progress_is_an_artifact_and_a_line_a_tenth(lines: list[str]) -> None:
    """A hundred pieces of news make ten lines, and the artifact ends at 100 %."""
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

    from tasks.inform import Reporter

    @flow
    def work() -> None:
        report = Reporter("count", "to/a-hundred")
        for percent in range(101):
            report(percent / 100, f"layer {percent}")

    work()

    assert len([line for line in lines if "layer" in line]) == 11
    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=["count-to-a-hundred"]))
    with get_client(sync_client=True) as client:
        (artifact,) = client.read_artifacts(artifact_filter=wanted, limit=1)
    assert artifact.data == 100.0


@pytest.mark.parametrize("fault", [500, 503, 404, None])
def test_progress_that_cannot_be_shown_fails_nothing(fault: int | None, lines: list[str]) -> None:
    """The run's log has it, and the server is left alone for half a minute."""
    from prefect import flow, task

    from tasks.inform import Reporter, rename_run

    @task
    def work() -> str:
        report = Reporter("count", "to/a-hundred")
        for percent in range(100):
            report(percent / 100, f"layer {percent}")
        return "done"

    @flow
    def run() -> str:
        rename_run("a name")
        return work()

    with without_artifacts(fault) as faults:
        started = time.monotonic()
        assert run() == "done"
        seconds = time.monotonic() - started

    assert faults == ["/api/artifacts/"]
    (warning,) = [line for line in lines if "does not show" in line]
    assert warning.startswith("Prefect does not show the progress of count to/a-hundred: ")
    assert len([line for line in lines if "layer" in line]) == 10
    assert seconds < 20


def test_a_reason_in_the_table_of_sources_is_no_markup() -> None:
    """Prefect's page renders each cell as Markdown; a mirror's error message may be in it."""
    from slipway.values import WatchResult
    from tasks.watch import _row

    reason = "[free](http://e.example) ![x](y) <b>"
    row = _row(WatchResult(model="tiny", state="refused", reason=reason))

    assert row["why"] == "\\[free](http:\u2060//e.example) !\\[x](y) &lt;b&gt;"


@pytest.mark.slow
def test_a_release_whose_report_cannot_be_shown_is_promoted(released_project: Project) -> None:
    """Prefect shows no progress and no report; MLflow has the report, and the release ends well."""
    from flows.release_model import release_model
    from tests.support import tiny_phi3

    shutil.rmtree(released_project.checkpoint)
    tiny_phi3.write_checkpoint(released_project.checkpoint, seed=1)

    with without_artifacts(500) as faults:
        outcome = release_model("tiny")

    assert outcome.verdict.kind == "promoted"
    assert len(faults) > 4
    client = released_project.registry().client
    files = {file.path for file in client.list_artifacts(outcome.versions.run_id)}
    assert "report.md" in files
