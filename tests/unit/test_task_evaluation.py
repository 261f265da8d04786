"""Tasks are gates of a release: the loss against the source, with a margin and a known power."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from commands.main import run
from slipway import catalogue
from slipway.errors import ExtraMissing, SlipwayError, StepCrashed
from slipway.evaluation import gates, harness, task_evaluation
from slipway.evaluation.task_scores import TaskScore
from slipway.report.document import markdown
from slipway.system.process import ProcessLimits
from slipway.system.store import Store
from slipway.system.workspace import Workspace
from slipway.tracking import metrics
from slipway.values import Evaluation, ScoredCandidate, TaskLimits
from tests.support import scored_candidates, summaries
from tests.support.project import Project

ITEMS = 100
LIMITS = TaskLimits(margin=0.05, metrics=("acc",))


def reached(right: int) -> harness.TaskRun:
    """Return a run in which the first ``right`` of 100 items were right."""
    items = {str(number): float(number < right) for number in range(ITEMS)}
    value = right / ITEMS
    scores = tuple(
        TaskScore(task="t", metric=name, value=value, higher_is_better=True, items=items)
        for name in ("acc", "acc_norm")
    )
    return harness.TaskRun(scores=scores, cpu_seconds=1.0)


class Runs:
    """Stands in for the child process of the harness; a number of right answers is by model."""

    def __init__(self, **right: int) -> None:
        self.right = right
        self.models: list[str] = []

    def __call__(self, _run: Any, request: harness.TaskRequest, *_: Any, **__: Any) -> Any:
        """Answer for a model; an unknown one crashes."""
        name = "source" if request.is_source else request.model.name
        self.models.append(name)
        if name not in self.right:
            raise StepCrashed("tasks", "exit status 3", "")
        return SimpleNamespace(value=reached(self.right[name]))


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> task_evaluation.TaskFolders:
    """Return folders with one task file; the harness counts as installed."""
    monkeypatch.setattr(task_evaluation, "version", lambda _package: "0")
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "t.yaml").write_text("task: t", encoding="utf-8")
    return task_evaluation.TaskFolders.of(tmp_path, tmp_path)


@pytest.fixture
def workspace(tmp_path: Path, limits: ProcessLimits) -> Workspace:
    """Return a place with an empty store."""
    return Workspace(Store(tmp_path / "store"), limits, {"torch": "2.13.0"})


def evaluation(folder: str) -> Evaluation:
    """Return a candidate whose artifact is in this folder."""
    artifact = summaries.artifact(variant=folder)
    stored = artifact.stored.model_copy(update={"folder": Path(folder)})
    files = tuple(each.model_copy(update={"path": folder}) for each in stored.files)
    stored = stored.model_copy(update={"files": files})
    artifact = artifact.model_copy(update={"stored": stored})
    return scored_candidates.selected(artifact).evaluation


def weighed(found: Evaluation) -> ScoredCandidate:
    """Return a candidate with the gates of an entry that has the task."""
    entry = summaries.entry(tasks={"t": LIMITS})
    [scored] = gates.score_all(entry, summaries.weights(), [found], None)
    return scored


@pytest.mark.parametrize(
    ("right", "state", "blocks"),
    [(80, "pass", False), (85, "pass", False), (76, "inconclusive", False), (50, "fail", True)],
)
def test_a_task_is_a_gate_on_the_loss(  # noqa: PLR0917 - and two fixtures
    folders: task_evaluation.TaskFolders,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    right: int,
    state: str,
    blocks: bool,
) -> None:
    """It says its power; a loss that may be chance is shown, and blocks nothing."""
    monkeypatch.setattr(task_evaluation, "call", Runs(source=80, mine=right))

    [found] = task_evaluation.measure(
        {"t": LIMITS}, summaries.weights(), (evaluation("mine"),), folders, workspace
    )

    gate = weighed(found).gates[-1]
    assert (gate.metric, gate.state, gate.blocks) == ("t.acc.loss", state, blocks)
    assert "(found by 100 items in 44 %)" in gates.in_words(gate)
    assert gate.observed is not None
    assert gate.observed.value == pytest.approx(max(0, 80 - right) / ITEMS)


def test_what_was_reached_is_run_once(
    folders: task_evaluation.TaskFolders, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another margin runs nothing; another candidate alone; changed files everything."""
    runs = Runs(source=80, first=80, second=70)
    monkeypatch.setattr(task_evaluation, "call", runs)

    def measured(*names: str, margin: float = 0.1) -> None:
        limits = {"t": TaskLimits(margin=margin)}
        several = tuple(map(evaluation, names))
        task_evaluation.measure(limits, summaries.weights(), several, folders, workspace)

    measured("first")
    measured("first", margin=0.2)
    (folders.files / "__pycache__").mkdir()
    (folders.files / "__pycache__" / "t.pyc").write_bytes(b"x")
    measured("first", "second")
    assert runs.models == ["source", "first", "second"]

    (folders.files / "t.yaml").write_text("task: t # changed", encoding="utf-8")
    measured("first")
    assert runs.models[3:] == ["source", "first"]


def test_a_candidate_that_cannot_be_run_is_inconclusive(
    folders: task_evaluation.TaskFolders, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the reason; a source that cannot be run ends the release."""
    monkeypatch.setattr(task_evaluation, "call", Runs(source=80))
    limits = {"t": LIMITS}
    candidates = (evaluation("crashes"),)

    [found] = task_evaluation.measure(limits, summaries.weights(), candidates, folders, workspace)

    assert found.reason
    assert "exit status 3" in found.reason
    assert not weighed(found).passes
    assert "t.loss is not measured, must be at most 0.05" in gates.in_words(
        weighed(found).gates[-1]
    )
    monkeypatch.setattr(task_evaluation, "call", Runs())
    other = workspace.store.root.parent / "other"
    with pytest.raises(SlipwayError):
        task_evaluation.measure(
            limits,
            summaries.weights(),
            candidates,
            folders,
            Workspace(Store(other), workspace.limits, {}),
        )


def test_scores_are_in_the_report_and_in_mlflow(
    folders: task_evaluation.TaskFolders, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the limited metrics, with the difference on the same items and the power."""
    monkeypatch.setattr(task_evaluation, "call", Runs(source=80, mine=50))
    [found] = task_evaluation.measure(
        {"t": LIMITS}, summaries.weights(), (evaluation("mine"),), folders, workspace
    )
    selection = summaries.summary().selection
    chosen = selection.chosen.model_copy(
        update={"evaluation": found.model_copy(update={"built": selection.chosen.evaluation.built})}
    )
    others = [each for each in selection.candidates if each != selection.chosen]
    changed = selection.model_copy(update={"candidates": (chosen, *others)})
    release = summaries.promoted(selection=changed, gates=weighed(found).gates)

    text = markdown(release, "p")

    assert (
        f"| {selection.variant} | t.acc | 100 | 0.5 | 0.8 | -0.3 (-0.372 to -0.216) | 44 % |"
        in text
    )
    assert "| ❌ failed | Loss in t.acc (`t.acc.loss`) | at most 0.05 (found by 100 items" in text
    assert "t.acc\\_norm" not in text
    logged = metrics.of_tasks(chosen.evaluation.task_comparisons)
    assert (logged["t.acc"], logged["t.acc.source"]) == (0.5, 0.8)
    assert logged["t.acc.difference"] == pytest.approx(-0.3)
    assert logged.items() <= metrics.numbers(release).items()


def test_tasks_without_the_harness_are_refused_before_a_download(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the plan and by the first step of a release, in one line that says what to install."""
    from tasks.resolve import resolve

    monkeypatch.setattr(harness, "_PACKAGE", "no_such_package")
    project.edit(
        "[models.tiny.gates]",
        '[models.tiny.tasks]\neveryday = { margin = 0.05, metrics = ["acc"] }\n\n'
        "[models.tiny.gates]",
    )

    assert run(["plan", "tiny"]) == 2

    [line] = capsys.readouterr().err.splitlines()
    assert "pip install 'slipway[evaluation]'" in line
    with pytest.raises(ExtraMissing):
        resolve.fn(catalogue.find(project.catalogue, "tiny"))
    assert not (project.home / "store").exists()
