"""The line on the tiny model: what it promises, with real stores and a real Prefect server."""

import json
import shutil

from line import Yard

from slipway.values import Release


def release(model: str = "tiny") -> Release:
    """Run the flow."""
    from flows.release_model import release_model

    return release_model(model)


def test_a_release_promotes_both_wrappers_together(released: tuple[Yard, Release]) -> None:
    """The first release registers two versions, and all their aliases agree."""
    yard, outcome = released

    assert outcome.verdict.kind == "promote"
    assert yard.versions() == [
        ("tiny", 1, {"candidate": 1, "champion": 1}),
        ("tiny-transformers", 1, {"candidate": 1, "champion": 1}),
    ]


def test_the_same_release_is_found_again_and_nothing_is_done(
    released: tuple[Yard, Release],
) -> None:
    """A second run logs nothing, registers nothing and moves nothing."""
    yard, first = released
    before = yard.versions()

    second = release()

    assert second == first.model_copy(update={"existed": True})
    assert yard.versions() == before
    assert len(yard.registry().client.search_logged_models(["1"])) == 2


def test_the_reports_are_where_people_look(released: tuple[Yard, Release]) -> None:
    """The MLflow run has report, picture, answers and figures; the version has a description."""
    yard, outcome = released

    client = yard.registry().client
    run = client.get_run(outcome.candidate.run_id)
    files = {file.path for file in client.list_artifacts(outcome.candidate.run_id)}
    assert {"report.md", "picture.png", "predictions.json"} <= files
    assert run.data.metrics["onnx.tokens_per_second"] > 0
    assert "tiny-phi3" in client.get_model_version("tiny", "1").description


def test_nothing_logged_names_a_path_of_this_machine(released: tuple[Yard, Release]) -> None:
    """Neither MLmodel nor any other text of a logged model, nor a tag, says where it was built."""
    yard, outcome = released

    logged = [path for path in (yard.home / "mlflow" / "artifacts").rglob("*") if path.is_file()]
    texts = {path: path.read_bytes() for path in logged if path.suffix not in {".data", ".png"}}
    client = yard.registry().client
    tags = [client.get_logged_model(each.model_id).tags for each in outcome.candidate.wrappers]
    tags += [yard.registry().tags("tiny", outcome.candidate.onnx.version)]
    assert len(texts) > 10
    assert [path for path, text in texts.items() if str(yard.folder).encode() in text] == []
    assert str(yard.folder) not in json.dumps(tags)


def test_state_is_written_nowhere_but_below_home(released: tuple[Yard, Release]) -> None:
    """No ./mlruns, no file beside the catalogue."""
    yard, _ = released
    known = set(json.loads((yard.folder / "known.json").read_bytes()))

    assert {path.name for path in yard.folder.iterdir()} - known == {"home", "known.json"}


def test_new_weights_become_the_champion_and_the_old_one_is_remembered(yard: Yard) -> None:
    """`previous` is what a rollback returns to, and the promotion's run says who served before."""
    import tiny_phi3

    release()
    shutil.rmtree(yard.checkpoint)
    tiny_phi3.write_checkpoint(yard.checkpoint, seed=1)

    outcome = release()

    assert yard.registry().aliases("tiny") == {"candidate": 2, "champion": 2, "previous": 1}
    assert yard.registry().aliases("tiny-transformers") == yard.registry().aliases("tiny")
    record = yard.registry().client.get_run(outcome.promotion.run_id)
    assert record.data.tags["slipway.from"] == "1"


def test_a_candidate_below_a_gate_is_kept_and_leaves_the_registry(yard: Yard) -> None:
    """The champion stays, nothing new is registered, and the verdict names the limit."""
    release()
    before = yard.versions()
    yard.edit('suite = "brief"', 'suite = "brief"\ngates = { min_tokens_per_second = 1e9 }')

    outcome = release()

    assert outcome.verdict.kind == "keep"
    assert "min_tokens_per_second" in outcome.verdict.reasons[0]
    assert yard.versions() == before


def test_a_candidate_alias_policy_stops_before_the_champion(yard: Yard) -> None:
    """With aliases = "candidate" a person moves the champion."""
    yard.edit('suite = "brief"', 'suite = "brief"\naliases = "candidate"')

    release()

    assert yard.registry().aliases("tiny") == {"candidate": 1}


def test_files_that_vanished_from_the_store_are_made_again(yard: Yard) -> None:
    """Prefect's cached result still names them; the line looks before it believes."""
    release()
    shutil.rmtree(yard.home / "store")
    yard.edit('suite = "brief"', 'suite = "brief"\ngates = { min_prompts = 3 }')

    outcome = release()

    assert outcome.verdict.kind == "promote"
    assert len(list((yard.home / "store").glob("*/manifest.json"))) == 2


def test_a_chat_contract_is_released_the_same_way(yard: Yard) -> None:
    """With contract = "chat" both wrappers speak llm/v1/chat."""
    yard.edit('onnx = "prompt"', 'onnx = "chat"')

    outcome = release()

    assert outcome.verdict.kind == "promote"
    assert outcome.candidate.onnx.contract == "chat"
