"""The line on the tiny model: what it promises, with real stores and a real Prefect server."""

import json
import shutil

import pytest

from commands.main import run
from slipway import keys
from slipway.system import store
from slipway.values import Release
from tests.support.project import PROJECT, Project


def release(model: str = "tiny") -> Release:
    """Run the flow."""
    from flows.release_model import release_model

    return release_model(model)


def test_a_release_promotes_both_wrappers_together(released: tuple[Project, Release]) -> None:
    """The first release registers two versions, and all their aliases agree."""
    project, outcome = released

    assert outcome.verdict.kind == "promoted"
    assert project.versions() == [
        ("tiny", 1, {"candidate": 1, "champion": 1}),
        ("tiny-transformers", 1, {"candidate": 1, "champion": 1}),
    ]


def test_the_same_release_is_found_again_and_nothing_is_done(
    released: tuple[Project, Release],
) -> None:
    """A second run logs nothing, registers nothing and moves nothing."""
    project, first = released
    before = project.versions()

    second = release()

    assert second == first.model_copy(update={"existed": True})
    assert project.versions() == before
    assert len(project.registry().client.search_logged_models(["1"])) == 2


def test_a_release_that_another_machine_finished_meanwhile_is_left_as_it_is(
    released: tuple[Project, Release], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files may be read at this moment by what serves them."""
    project, first = released
    monkeypatch.setattr("flows.release_model.find_release", lambda *_, **__: None)
    files = project.home / "mlflow" / "artifacts"

    def written() -> dict[str, int]:
        sealed = (*files.rglob("run.json"), *files.rglob("report.md"), *files.rglob("*.sigstore"))
        return {str(each): each.stat().st_mtime_ns for each in sealed}

    before = written()
    second = release()

    assert second == first.model_copy(update={"existed": True})
    assert len(before) == 3
    assert written() == before


def test_the_watch_knows_the_release_by_its_key(released: tuple[Project, Release]) -> None:
    """Both find the same key for the same source, so nothing is started."""
    from flows.watch_sources import watch_sources

    _, outcome = released

    (result,) = watch_sources(["tiny"])

    assert (result.state, result.key) == ("released", outcome.versions.key)
    assert result.commit == outcome.commit


def test_the_reports_are_where_people_look(released: tuple[Project, Release]) -> None:
    """The MLflow run has report, picture, answers and figures; the version has a description."""
    project, outcome = released

    client = project.registry().client
    run = client.get_run(outcome.versions.run_id)
    files = {file.path for file in client.list_artifacts(outcome.versions.run_id)}
    assert {
        "report.md",
        "picture.png",
        "predictions.json",
        "manifest.json",
        "figures.json",
        "junit.xml",
    } <= files
    assert run.data.metrics["kl_mean"] >= 0
    assert run.data.metrics["tokens_per_second"] > 0
    traces = client.search_traces(
        locations=[run.info.experiment_id], run_id=run.info.run_id, max_results=5
    )
    assert all(trace.info.assessments[0].name == "checks" for trace in traces)
    assert traces
    assert "tiny-phi3" in client.get_model_version("tiny", "1").description


def test_a_version_says_what_its_bytes_are(released: tuple[Project, Release]) -> None:
    """By its tags a server knows whether the files that it loads are those that were released."""
    project, outcome = released

    tags = project.registry().tags("tiny", outcome.versions.onnx.version)
    logged = project.home / "mlflow/artifacts/tiny/models" / outcome.versions.onnx.model_id
    found = store.manifest(logged / "artifacts" / "artifacts" / "model")
    assert tags["slipway.digest"] == keys.manifest_digest(found)
    assert tags["slipway.code_sha256"] == store.sha256(logged / "artifacts" / "onnx_genai.py")


def test_nothing_logged_names_a_path_of_this_machine(released: tuple[Project, Release]) -> None:
    """Neither MLmodel nor any other text of a logged model, nor a tag, says where it was built."""
    project, outcome = released

    logged = [path for path in (project.home / "mlflow" / "artifacts").rglob("*") if path.is_file()]
    texts = {path: path.read_bytes() for path in logged if path.suffix not in {".data", ".png"}}
    client = project.registry().client
    tags = [client.get_logged_model(each.model_id).tags for each in outcome.versions.wrappers]
    tags += [project.registry().tags("tiny", outcome.versions.onnx.version)]
    assert len(texts) > 10
    assert [path for path, text in texts.items() if str(project.folder).encode() in text] == []
    assert str(project.folder) not in json.dumps(tags)


def test_state_is_written_nowhere_but_below_home(released: tuple[Project, Release]) -> None:
    """No ./mlruns, no file beside the catalogue."""
    project, _ = released
    known = set(json.loads((project.folder / "known.json").read_bytes()))

    assert {path.name for path in project.folder.iterdir()} - known == {
        "known.json",
        "release.json",
    }


def test_new_weights_become_the_champion_and_the_old_one_is_remembered(
    released_project: Project,
) -> None:
    """`previous` is what a rollback returns to, and the promotion's run says who served before."""
    from tests.support import tiny_phi3

    project = released_project
    shutil.rmtree(project.checkpoint)
    tiny_phi3.write_checkpoint(project.checkpoint, seed=1)

    outcome = release()

    assert project.registry().aliases("tiny") == {"candidate": 2, "champion": 2, "previous": 1}
    assert project.registry().aliases("tiny-transformers") == project.registry().aliases("tiny")
    record = project.registry().client.get_run(outcome.promotion.run_id)
    assert record.data.tags["slipway.from"] == "1"


def test_a_candidate_below_a_gate_is_rejected_and_leaves_the_registry(
    released_project: Project,
) -> None:
    """The champion stays, nothing new is registered, and the verdict names the limit."""
    project = released_project
    before = project.versions()
    project.limit("tokens_per_second = { min = 1e9 }")

    outcome = release()

    assert outcome.verdict.kind == "rejected"
    assert "tokens_per_second" in outcome.verdict.reasons[0]
    assert project.versions() == before


@pytest.mark.slow
def test_a_candidate_alias_policy_stops_before_the_champion(project: Project) -> None:
    """With aliases = "candidate" a person moves the champion."""
    project.edit('suite = "brief"', 'suite = "brief"\naliases = "candidate"')

    outcome = release()

    assert outcome.verdict.kind == "promoted", outcome.verdict
    assert project.registry().aliases("tiny") == {"candidate": 1}


@pytest.mark.slow
def test_files_that_vanished_from_the_store_are_made_again(released_project: Project) -> None:
    """Prefect's cached result still names them; the line looks before it believes."""
    project = released_project
    shutil.rmtree(project.home / "store")
    project.limit("answered_prompts = { min = 3 }")

    outcome = release()

    assert outcome.verdict.kind == "promoted"
    assert len(list((project.home / "store").glob("*/manifest.json"))) == 2


@pytest.mark.slow
def test_a_chat_contract_is_released_the_same_way(project: Project) -> None:
    """With contract = "chat" both wrappers speak llm/v1/chat; both sample, as the entry says."""
    project.edit('onnx = "prompt" }', 'onnx = "chat" }\nsampling = { temperature = 0.5 }')

    outcome = release()
    figures = project.registry().measured_champion("tiny", "chat").figures

    assert outcome.verdict.kind == "promoted"
    assert outcome.versions.onnx.contract == "chat"
    assert {"stop_rate_loss", "loop_rate_gain"} <= figures.keys()


def edit_wrapper(project: Project, monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    """Release with a changed copy of the ONNX wrapper."""
    text = (PROJECT / "wrappers" / "onnx_genai.py").read_text(encoding="utf-8")
    assert old in text
    shutil.copytree(PROJECT / "wrappers", project.folder / "wrappers")
    changed = text.replace(old, new)
    (project.folder / "wrappers" / "onnx_genai.py").write_text(changed, encoding="utf-8")
    monkeypatch.setenv("SLIPWAY_WRAPPERS", str(project.folder / "wrappers"))


@pytest.mark.slow
def test_a_wrapper_that_answers_the_wrong_shape_is_rejected_by_a_gate(
    released_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The smoke test sees numbers where texts were promised; the exit code is 3."""
    before = released_project.versions()
    answer = "self._answers([(params or {}) | row for row in given])"
    edit_wrapper(released_project, monkeypatch, answer, "[7 for _ in given]")

    assert run(["release", "tiny"]) == 3

    assert released_project.versions() == before


@pytest.mark.slow
def test_a_wrapper_that_cannot_be_loaded_is_inconclusive(
    released_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can be said of it, so it does not serve; the exit code is 4."""
    before = released_project.versions()
    edit_wrapper(
        released_project, monkeypatch, "settings = context.model_config or {}", "raise MemoryError"
    )

    assert run(["release", "tiny"]) == 4

    assert released_project.versions() == before
