"""Tasks of lm-evaluation-harness run on a source and on its artifact, without a network."""

import json
import shutil
from pathlib import Path

import pytest

from commands.main import run
from slipway import catalogue
from slipway.build import onnx
from slipway.errors import SourceMissing
from slipway.evaluation import harness
from slipway.evaluation.task_scores import TaskScore, compare
from slipway.settings import PROJECT
from slipway.system.call import call
from slipway.system.process import ProcessLimits
from slipway.system.store import Store
from slipway.system.workspace import Workspace
from slipway.values import Quantization
from tests.support.project import Project

TASKS = PROJECT / "expectations" / "tasks"
GENERATED = """\
task: capitals
dataset_path: json
dataset_kwargs: { data_files: { test: capitals.jsonl } }
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: { until: ["."], max_gen_toks: 8 }
metric_list: [{ metric: exact_match, aggregation: mean, higher_is_better: true }]
"""


def test_the_example_has_one_right_answer_an_item() -> None:
    """Every item has four different choices, and the right one is at every place."""
    lines = (TASKS / "everyday.jsonl").read_text(encoding="utf-8").splitlines()
    items = [json.loads(line) for line in lines]

    assert len({item["question"] for item in items}) == len(items) == 80
    assert all(len(set(item["choices"])) == 4 for item in items)
    assert {item["answer"] for item in items} == {0, 1, 2, 3}


def test_without_the_harness_the_command_says_how_to_install_it(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is built before."""
    monkeypatch.setattr(harness, "_PACKAGE", "no_such_package")

    assert run(["evaluate", "tiny", "--tasks", "everyday"]) == 2

    assert "pip install 'slipway[evaluation]'" in capsys.readouterr().err
    assert not (project.home / "store").exists()


def test_a_candidate_that_the_recipe_has_not_is_refused_before_a_download(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names those that there are."""
    monkeypatch.setattr(harness, "_PACKAGE", "json")

    assert run(["evaluate", "tiny", "--tasks", "everyday", "--variant", "cpu-int2"]) == 2

    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("candidate cpu-int2 was not found: name one of cpu-fp32")
    assert not [*(project.home / "store").glob("weights-*")]
    assert run(["evaluate", "tiny", "--tasks", "everyday", "--margin", "-0.1"]) == 2


@pytest.mark.slow
def test_a_calibrated_candidate_is_built_with_its_texts(
    project: Project, limits: ProcessLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a release builds it."""
    from commands import evaluate

    project.edit('precision = "fp32"', 'precision = "int4", method = "gptq"')
    entry = catalogue.find(project.catalogue, "tiny")
    store = Store(project.home / "store")

    _, [artifact] = evaluate._made(entry, frozenset(), Workspace(store, limits, {}))

    assert any(name.startswith("MatMulNBits int4") for name in artifact.nodes)


@pytest.fixture
def request_of(tmp_path: Path) -> harness.TaskRequest:
    """Return a request for two tasks, one of them with generated answers; it names no model."""
    pytest.importorskip("lm_eval")
    folder = shutil.copytree(TASKS, tmp_path / "tasks")
    (folder / "capitals.yaml").write_text(GENERATED, encoding="utf-8")
    items = [{"question": f"Question {number}?", "answer": "Madrid"} for number in range(3)]
    lines = "\n".join(map(json.dumps, items))
    (folder / "capitals.jsonl").write_text(lines, encoding="utf-8")
    return harness.TaskRequest(
        model=folder,
        is_source=True,
        tasks=("everyday", "capitals"),
        folder=folder,
        cache=tmp_path / "datasets",
        limit=8,
    )


def windowed(known: Path, folder: Path) -> Path:
    """Write a tiny random checkpoint whose window is longer than most items of a task."""
    import torch
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512}
    ids = {"vocab_size": 320, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 0}
    config = MistralConfig(**shape, **heads, **ids, sliding_window=200)
    MistralForCausalLM(config).save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(known / file, folder)
    return folder


@pytest.mark.slow
def test_a_source_and_its_artifact_answer_the_same_items(
    checkpoint: Path, limits: ProcessLimits, request_of: harness.TaskRequest, tmp_path: Path
) -> None:
    """In float32 every item has the same score; the harness' own runtime fails in a window."""
    source, artifact = windowed(checkpoint, tmp_path / "source"), tmp_path / "artifact"
    artifact.mkdir()
    quantization = Quantization(precision="fp32")
    build = onnx.BuildRequest(weights=source, into=artifact, quantization=quantization)
    call(onnx.build, build, limits, step="build")

    def scores(model: Path) -> tuple[TaskScore, ...]:
        asked = request_of.model_copy(update={"model": model, "is_source": model == source})
        return call(harness.run, asked, limits, step="tasks").value.scores

    found = compare(scores(source), scores(artifact), margin=0.5)

    assert [(each.task, each.metric, each.items) for each in found] == [
        ("everyday", "acc", 8),
        ("everyday", "acc_norm", 8),
        ("capitals", "exact_match", 3),
    ]
    assert all(each.source == each.candidate for each in found)
    unknown = request_of.model_copy(update={"tasks": ("everyday", "no-such-task")})
    with pytest.raises(SourceMissing, match="task no-such-task"):
        call(harness.run, unknown, limits, step="tasks")


@pytest.mark.slow
def test_what_candidates_reach_is_in_mlflow(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """One run for each candidate, with scores, differences, their interval and every item."""
    pytest.importorskip("lm_eval")
    import mlflow

    assert run(["evaluate", "tiny", "--tasks", "everyday", "--limit", "4", "--json"]) == 0

    [found] = json.loads(capsys.readouterr().out)
    logged = mlflow.get_run(found["run_id"])
    assert mlflow.get_experiment(logged.info.experiment_id).name == "tiny/evaluations"
    assert {"everyday.acc", "everyday.acc.source", "everyday.acc.difference_low"} <= {
        *logged.data.metrics
    }
    assert logged.data.params["variant"] == found["variant"]
    items = mlflow.artifacts.load_dict(f"{logged.info.artifact_uri}/items.json")
    assert len(items["candidate"]["everyday.acc"]) == 4


@pytest.mark.slow
def test_a_task_of_the_entry_is_a_gate_of_the_release(project: Project) -> None:
    """The report has its row, and the run in MLflow its scores."""
    pytest.importorskip("lm_eval")
    from flows.release_model import release_model

    task = "[models.tiny.tasks]\neveryday = { margin = 0.5, limit = 4 }\n\n[models.tiny.gates]"
    project.edit("[models.tiny.gates]", task)

    outcome = release_model("tiny")

    client, run_id = project.registry().client, outcome.versions.run_id
    text = Path(client.download_artifacts(run_id, "report.md")).read_text(encoding="utf-8")
    assert "| ✅ passed | Loss in everyday.acc (`everyday.acc.loss`) | at most 0.5 (" in text
    assert "| cpu-fp32 | everyday.acc | 4 |" in text
    assert {"everyday.acc", "everyday.acc.source"} <= {*client.get_run(run_id).data.metrics}
    assert outcome.verdict.kind == "promoted"
