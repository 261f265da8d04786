"""How tasks behave: retries ask the error, cached results are looked at."""

from pathlib import Path
from typing import Any

import pytest
from prefect.states import Failed

from slipway.errors import LicenseNotAllowed, SlipwayError, Unreachable
from slipway.values import BuildResult, Evaluation
from tasks import policies
from tasks.policies import by_recipe, by_revision, worth_retrying
from tests.support import summaries
from tests.support.project import Project

pytestmark = pytest.mark.usefixtures("prefect_backend")


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (Unreachable("MLflow", "http://127.0.0.1:9", "refused"), True),
        (LicenseNotAllowed("tiny", None, ("mit",)), False),
        (ValueError("a defect of ours"), False),
    ],
)
def test_a_retry_asks_the_error(error: Exception, again: bool) -> None:
    """Only an error that says so itself is worth another attempt."""
    state: Any = Failed(data=error)

    assert worth_retrying(None, None, state) is again  # type: ignore[arg-type]


def test_a_retryable_error_is_tried_again_and_another_is_not() -> None:
    """The policy as Prefect carries it out, without its waits."""
    from prefect import flow, task

    tried: list[SlipwayError] = []

    @task(retries=2, retry_delay_seconds=0, retry_condition_fn=worth_retrying)
    def fail(error: SlipwayError) -> None:
        tried.append(error)
        raise error

    @flow
    def run(error: SlipwayError) -> None:
        fail(error)

    for error in (Unreachable("a", "b", "c"), LicenseNotAllowed("tiny", None, ("mit",))):
        with pytest.raises(type(error)):
            run(error)

    assert [type(error).__name__ for error in tried] == ["Unreachable"] * 3 + ["LicenseNotAllowed"]


def test_cache_keys_name_content_and_never_a_path(project: Project) -> None:
    """The same files in another folder are the same download, and the same artifact."""
    from slipway import catalogue
    from slipway.sources import folder
    from slipway.values import Stored, Weights

    entry = catalogue.find(project.catalogue, "tiny")
    revision = folder.resolve(entry.source)  # type: ignore[arg-type]
    moved = project.checkpoint.rename(project.folder / "elsewhere")
    other = folder.resolve(entry.source.model_copy(update={"path": moved}))  # type: ignore[arg-type]

    assert by_revision(None, {"revision": revision}) == by_revision(None, {"revision": other})  # type: ignore[arg-type]

    def keyed(place: Path, key: str = "weights-1") -> str:
        from slipway.system.store import manifest

        stored = Stored(key=key, folder=place, files=manifest(moved))
        weights = Weights(revision=revision, stored=stored, architecture="x", parameters=1)
        return by_recipe(None, {"weights": weights, "recipe": entry.recipe})  # type: ignore[arg-type]

    assert keyed(Path("one")) == keyed(Path("another"))
    assert keyed(Path("one")) != keyed(Path("one"), key="weights-2")


def test_a_result_that_names_files_of_another_machine_counts_as_missing() -> None:
    """Whatever the task: storage of results may be shared, folders are not."""
    built = BuildResult(variant="int8", precision="int8", artifact=summaries.artifact())
    measured = Evaluation(built=built, fidelity=None, speed=None)

    for result in (summaries.weights(), (built,), (measured,)):
        assert "is missing or changed" in str(policies._fault(result, cached=True))


def test_a_failing_run_prints_no_traceback_of_an_error_that_explains_itself() -> None:
    """A one-line error stays one line in the terminal; a defect keeps its traceback."""
    import logging

    from tasks.run_log import PlainLines

    def record(error: Exception) -> logging.LogRecord:
        return logging.LogRecord("x", 40, "", 0, "Encountered", (), (type(error), error, None))

    ours, defect = record(Unreachable("a", "b", "c")), record(ValueError("x"))
    PlainLines().filter(ours)
    PlainLines().filter(defect)

    assert (ours.exc_info, ours.getMessage()) == (None, str(Unreachable("a", "b", "c")))
    assert defect.exc_info is not None


def test_a_line_of_the_log_has_nothing_that_a_terminal_would_obey() -> None:
    """Names and errors of a source are in it."""
    import logging

    from tasks.run_log import PlainLines

    line = logging.LogRecord("x", 20, "", 0, "variant %s", ("\x1b[31mred",), None)
    PlainLines().filter(line)

    assert line.getMessage() == "variant \ufffd[31mred"


def test_a_line_on_prefects_pages_names_its_task() -> None:
    """The pages show the lines of all tasks in one list, without the tasks' names."""
    import logging

    from tasks.run_log import TaskLines

    done = logging.LogRecord(
        "prefect.task_runs", 20, "", 0, "Finished in %s", ("Completed()",), None
    )
    begun = logging.LogRecord("x", 20, "", 0, "Beginning", (), None)
    done.task_run_name = "evaluate tiny"

    assert TaskLines().format(done) == "evaluate tiny: Finished in Completed()"
    assert TaskLines().format(begun) == "Beginning"
