"""The tasks of an entry: its source and its candidates answer the same items.

What a model reached is kept by content in the store, so a task that is added, or another margin,
runs nothing again that is known.
"""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from slipway import keys
from slipway.errors import SlipwayError, SourceMissing
from slipway.evaluation import harness
from slipway.evaluation.harness import TaskRequest, TaskRun
from slipway.evaluation.task_scores import TaskScore, compare
from slipway.system import store
from slipway.system.call import call
from slipway.system.workspace import Workspace
from slipway.values import Entry, Evaluation, Stored, TaskComparison, TaskLimits, Value, Weights

_FOUND, _FILES = "found.json", "tasks"


class TaskFolders(Value):
    """Where task files are, and where the harness keeps data sets."""

    files: Path
    cache: Path

    @classmethod
    def of(cls, expectations: Path, home: Path) -> "TaskFolders":
        """Return the folders of a project."""
        return cls(files=expectations.absolute() / _FILES, cache=home.absolute() / "datasets")


def require(entry: Entry, expectations: Path) -> None:
    """Refuse an entry with tasks where they cannot run, before anything is downloaded.

    Raises:
        ExtraMissing: If the harness is not installed.
        SourceMissing: If there is no folder of task files.
    """
    if entry.tasks:
        harness.require_installed()
        require_folder(expectations / _FILES)


def require_folder(folder: Path) -> None:
    """Refuse a folder of task files that is not there.

    Raises:
        SourceMissing: If there is none.
    """
    if not folder.is_dir():
        raise SourceMissing(f"folder {folder}", "make it, or name that of your task files")


def digests(entry: Entry, expectations: Path) -> dict[str, str]:
    """Return what identifies the tasks of an entry; nothing without tasks."""
    if not entry.tasks:
        return {}
    require(entry, expectations)
    return {"tasks": _digest(expectations / _FILES), **_harness()}


def run(model: Stored, request: TaskRequest, workspace: Workspace, name: str) -> TaskRun:
    """Return what a model reaches on tasks, run unless the store has it.

    Args:
        model: The checkpoint or artifact.
        request: What to run.
        workspace: Where and with what.
        name: The model's name in the progress.

    Raises:
        SourceMissing: If there is no such task.
        StepFailed: If the model cannot be run.
    """
    asked = request.model_dump(mode="json", include={"is_source", "tasks", "limit"})
    asked["files"] = _digest(request.folder)
    key = keys.task_run_key(model, asked, {**workspace.tools, **_harness()})

    def fill(into: Path) -> None:
        workspace.progress(None, f"{name}: {', '.join(request.tasks)}")
        sent = request.model_copy(update={"model": model.folder})
        found = call(harness.run, sent, workspace.limits, step="tasks").value
        (into / _FOUND).write_text(found.model_dump_json(), encoding="utf-8")

    stored = workspace.store.make(key, fill)
    return TaskRun.model_validate_json((stored.folder / _FOUND).read_bytes())


def measure(
    tasks: Mapping[str, TaskLimits],
    weights: Weights,
    evaluations: tuple[Evaluation, ...],
    folders: TaskFolders,
    workspace: Workspace,
) -> tuple[Evaluation, ...]:
    """Return the evaluations with what each candidate reached beside its source.

    Args:
        tasks: What to run.
        weights: The source.
        evaluations: Candidates that run here. One that fails is returned with the reason.
        folders: Of task files and data sets.
        workspace: Where and with what.

    Raises:
        SlipwayError: If the source itself cannot be run.
    """
    parts = len(evaluations) + 1
    first = workspace.part(0, parts)
    sources = {
        task: _limited(task, limits, _run(task, limits, weights.stored, folders, first))
        for task, limits in tasks.items()
    }
    return tuple(
        _compared(tasks, sources, each, folders, workspace.part(place, parts))
        for place, each in enumerate(evaluations, start=1)
    )


def _compared(
    tasks: Mapping[str, TaskLimits],
    sources: Mapping[str, tuple[TaskScore, ...]],
    evaluation: Evaluation,
    folders: TaskFolders,
    workspace: Workspace,
) -> Evaluation:
    artifact = evaluation.built.artifact
    assert artifact is not None  # noqa: S101 - what was not built does not run here
    found: dict[str, tuple[TaskComparison, ...]] = {}
    try:
        for task, limits in tasks.items():
            reached = _run(task, limits, artifact.stored, folders, workspace, artifact.variant)
            scores = _limited(task, limits, reached)
            found[task] = compare(sources[task], scores, limits.margin)
    except SlipwayError as error:  # a result of the evaluation, as where its logits are compared
        return evaluation.model_copy(update={"tasks": found, "reason": error.brief})
    return evaluation.model_copy(update={"tasks": found})


def _run(  # noqa: PLR0913, PLR0917 - a run has that many parts
    task: str,
    limits: TaskLimits,
    model: Stored,
    folders: TaskFolders,
    workspace: Workspace,
    variant: str | None = None,
) -> TaskRun:
    """Run a candidate, or the source if ``variant`` is None."""
    request = TaskRequest(
        model=model.folder,
        is_source=variant is None,
        tasks=(task,),
        folder=folders.files,
        cache=folders.cache,
        limit=limits.limit,
    )
    return run(model, request, workspace, variant or "the source")


def _limited(task: str, limits: TaskLimits, found: TaskRun) -> tuple[TaskScore, ...]:
    """Return the scores whose metrics are limited.

    Raises:
        SourceMissing: If a limited metric is none of the task's.
    """
    if not limits.metrics:
        return found.scores
    known = sorted({each.metric for each in found.scores})
    if unknown := sorted({*limits.metrics} - {*known}):
        raise SourceMissing(
            f"metric {unknown[0]} of task {task}", f"name one of {', '.join(known)} in the entry"
        )
    return tuple(each for each in found.scores if each.metric in limits.metrics)


def _digest(folder: Path) -> str:
    """Return the digest of all task files; what Python writes beside them does not count."""
    files = (each for each in store.manifest(folder) if "__pycache__" not in each.path)
    return keys.manifest_digest(files)


def _harness() -> dict[str, str]:
    return {"lm_eval": version("lm_eval")}
