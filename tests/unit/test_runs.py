"""What a release leaves in MLflow: a run, one below it per candidate; all can be read back."""

import json
from pathlib import Path
from typing import Any

import pytest

from slipway.errors import SourceMissing
from slipway.tracking import metrics, read_run, write_run
from slipway.tracking.location import MlflowLocation, connect
from slipway.values import ReleaseSummary
from tests.support.published_runs import at, manifest, open_run, place, publish, published, register
from tests.support.scored_candidates import (
    FAILED,
    INCONCLUSIVE,
    NOT_BUILT,
    OUT_OF_MEMORY,
    QUANTIZATIONS,
    SELECTED,
)
from tests.support.summaries import NAME, promoted, regressed


@pytest.fixture(scope="module")
def store(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[MlflowLocation, ReleaseSummary]:
    """Give the tests one published release, to look at and not to change."""
    where = place(tmp_path_factory.mktemp("store"))
    return where, published(where, regressed(), manifest())


def below(where: MlflowLocation, run_id: str) -> dict[str, Any]:
    """Return the runs of the candidates of a release, by their names."""
    client = connect(where)
    experiment = client.get_run(run_id).info.experiment_id
    found = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run_id}'")
    assert len({run.info.run_name for run in found}) == len(found)
    return {run.info.run_name: run for run in found}


def test_every_candidate_is_a_run_below_the_release(
    store: tuple[MlflowLocation, ReleaseSummary],
) -> None:
    """MLflow's compare view holds them side by side: how they are made, and what they brought."""
    where, release = store
    found = below(where, release.versions.run_id)

    assert set(found) == {each.variant for each in QUANTIZATIONS}
    assert found[SELECTED].data.params["precision"] == "int8"
    assert found[INCONCLUSIVE].data.params["overrides"].startswith('[{"node": "/lm_head/MatMul"')
    assert found[FAILED].data.metrics["kl_mean"] == 0.57
    assert found[FAILED].data.tags["slipway.verdict"] == "failed"
    assert found[FAILED].data.tags["slipway.reasons"].startswith("kl_mean is 0.57 (0.531 to 0.612)")
    assert found[NOT_BUILT].info.status == "FAILED"
    assert found[NOT_BUILT].data.tags["slipway.reasons"] == OUT_OF_MEMORY


def test_publishing_again_doubles_nothing(
    store: tuple[MlflowLocation, ReleaseSummary],
) -> None:
    """A retried task must leave what one attempt leaves, also in the history of each figure."""
    where, _ = store
    release = published(where, promoted(), manifest())
    run_id = release.versions.run_id

    publish(release, manifest(), where)

    client = connect(where)
    child = below(where, run_id)[SELECTED].info.run_id
    table = json.loads(Path(client.download_artifacts(run_id, "predictions.json")).read_text())
    assert len(table["data"]) == 16
    assert len(client.get_metric_history(run_id, "kl_mean")) == 1
    assert len(client.get_metric_history(child, "kl_mean")) == 1


def test_a_double_that_a_lost_answer_left_is_removed(
    store: tuple[MlflowLocation, ReleaseSummary],
) -> None:
    """The client repeats a creation whose answer was lost; one run a candidate stays."""
    where, _ = store
    run_id = open_run(where)
    client = connect(where)
    experiment = client.get_run(run_id).info.experiment_id
    tags = {"mlflow.parentRunId": run_id, "slipway.candidate": SELECTED}
    for _ in range(2):
        client.create_run(experiment, run_name=SELECTED, tags=tags)

    publish(at(run_id, promoted()), manifest(), where)

    assert len(below(where, run_id)) == 4


def test_a_release_is_read_back_as_it_was_published(
    store: tuple[MlflowLocation, ReleaseSummary],
) -> None:
    """Figures with their intervals, gates, manifest and answers of the wrapper that serves."""
    where, release = store
    found = read_run.release(release.versions.run_id, "version 1", where)

    assert found.figures == metrics.figures(release)
    run = connect(where).get_run(release.versions.run_id)
    assert run.data.metrics.keys() <= set(metrics.COMPARED)
    assert found.gates == release.gates
    assert found.manifest == manifest()
    assert found.answers["emoji"] == "A ship 🚢, an anchor ⚓ and the sea 🌊."
    assert len(found.answers) == 8


def test_the_candidates_of_the_last_release_are_read_back(
    store: tuple[MlflowLocation, ReleaseSummary],
) -> None:
    """In the recipe's order, with what became of each."""
    where, _ = store
    release = published(where, promoted(), manifest())
    run_id = read_run.last_release(NAME, where)
    assert run_id == release.versions.run_id

    found = read_run.candidates(run_id, where)

    assert [each.variant for each in found] == [each.variant for each in QUANTIZATIONS]
    assert [each.verdict for each in found] == ["failed", "inconclusive", "selected", "not built"]
    assert found[2].figures == release.selection.chosen.evaluation.figures


def test_an_older_release_without_these_files_is_read_all_the_same(
    store: tuple[MlflowLocation, ReleaseSummary],
) -> None:
    """It kept neither manifest nor gates, which is no fault."""
    where, _ = store
    run_id = open_run(where)

    found = read_run.release(run_id, "version 1", where)

    assert (found.manifest, found.gates, found.answers, found.figures) == (None, (), {}, {})
    assert read_run.manifest(run_id, where) is None
    assert read_run.candidates(run_id, where) == ()


def test_a_version_leads_to_its_run_and_a_missing_one_to_those_that_are_there(
    store: tuple[MlflowLocation, ReleaseSummary],
) -> None:
    """The error names what could have been meant."""
    where, release = store
    version = register(where, release.versions.run_id)

    assert read_run.run_of(NAME, version, where) == release.versions.run_id
    with pytest.raises(SourceMissing, match=r"version 9 of .* there are these versions: 1"):
        read_run.run_of(NAME, 9, where)
    with pytest.raises(SourceMissing, match="none"):
        read_run.run_of("other", 1, where)


def test_nothing_was_released_before_the_first_release(
    store: tuple[MlflowLocation, ReleaseSummary],
) -> None:
    """A model that is new to the store has no last release."""
    where, _ = store

    assert read_run.last_release("other", where) is None


def test_the_page_of_a_run_is_known_by_its_address(
    store: tuple[MlflowLocation, ReleaseSummary],
) -> None:
    """It goes into the report as a link."""
    where, release = store
    run_id = release.versions.run_id

    assert write_run.page("http://mlflow", run_id, where) == (
        f"http://mlflow/#/experiments/1/runs/{run_id}?workflowType=machine_learning"
    )
