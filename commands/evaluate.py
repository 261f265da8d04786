"""``slipway evaluate``: tasks of lm-evaluation-harness on a model's source and its candidates."""

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from commands import console
from commands.options import Count, Margin
from slipway import catalogue
from slipway.build import artifacts
from slipway.errors import SourceMissing
from slipway.evaluation import harness, targets, task_evaluation, units
from slipway.evaluation.runtime import unmeasurable
from slipway.evaluation.task_scores import compare
from slipway.settings import Settings
from slipway.sources import checkpoint
from slipway.system.progress import silent
from slipway.system.workspace import Workspace
from slipway.tracking import location
from slipway.tracking.task_runs import write_task_run
from slipway.values import (
    Artifact,
    BuildResult,
    Entry,
    QuantizeRecipe,
    Recipe,
    Revision,
    SelectRecipe,
    TaskComparison,
    Value,
    Weights,
)

_COLUMNS = (
    "candidate",
    "task",
    "metric",
    "items",
    "source",
    "candidate's",
    "difference",
    "power",
    "",
)


class _Result(Value):
    """What one candidate reached, and the processor time of it."""

    variant: str
    cpu_seconds: float
    source_cpu_seconds: float
    comparisons: tuple[TaskComparison, ...]
    run_id: str


def evaluate(  # noqa: PLR0913 - a command has the options that people need
    model: str,
    *,
    tasks: str,
    folder: Path | None = None,
    variant: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    limit: Count | None = None,
    margin: Margin | None = None,
    json: bool = False,
) -> int:
    """Run tasks on a model's source and its candidates, and compare both item by item.

    Args:
        model: Name of an entry in catalogue.toml.
        tasks: Names of tasks, separated by commas.
        folder: Folder with task files of your own. Default: `tasks` of the expectations.
        variant: Name of a candidate; may be given several times. Default: every candidate.
        limit: Number of items of each task. Default: all.
        margin: Largest loss that is accepted, in the unit of each metric. With it, the exit code is
            3 if a candidate lost more, and 4 if the items are too few to tell.
        json: Print the result as JSON.
    """
    settings = Settings()
    entry = catalogue.find(settings.catalogue, model)
    harness.require_installed()
    targets.require(entry)
    folders = task_evaluation.TaskFolders.of(settings.expectations, settings.home)
    folder = folder.expanduser().absolute() if folder else folders.files
    task_evaluation.require_folder(folder)
    if settings.registry.startswith("http"):
        location.require_listener(settings.registry)
    request = harness.TaskRequest(
        model=folder,
        is_source=True,
        tasks=tuple(name.strip() for name in tasks.split(",")),
        folder=folder,
        cache=folders.cache,
        limit=limit,
    )
    results = [*_results(entry, request, frozenset(variant), margin, quiet=json)]
    if json:
        console.show([each.model_dump(mode="json") for each in results])
    else:
        _show(model, results)
    return _exit_code(results)


def _results(
    entry: Entry,
    request: harness.TaskRequest,
    wanted: frozenset[str],
    margin: float | None,
    *,
    quiet: bool,
) -> Iterator[_Result]:
    from tasks.context import workspace

    place = workspace(silent if quiet else _say)
    weights, candidates = _made(entry, wanted, place)
    source = task_evaluation.run(weights.stored, request, place, "the source")
    request = request.model_copy(update={"is_source": False})
    for artifact in candidates:
        found = task_evaluation.run(artifact.stored, request, place, artifact.variant)
        comparisons = compare(source.scores, found.scores, margin)
        run_id = write_task_run(
            entry.name,
            artifact.variant,
            comparisons,
            scores={"source": source.scores, "candidate": found.scores},
            facts=_facts(weights.revision, artifact, request),
            location=location.mlflow_location(Settings()),
        )
        yield _Result(
            variant=artifact.variant,
            cpu_seconds=found.cpu_seconds,
            source_cpu_seconds=source.cpu_seconds,
            comparisons=comparisons,
            run_id=run_id,
        )


def _made(
    entry: Entry, wanted: frozenset[str], workspace: Workspace
) -> tuple[Weights, tuple[Artifact, ...]]:
    """Return the source and the wanted candidates, made unless the store has them.

    Raises:
        SourceMissing: If a wanted candidate is none of the recipe's, or none could be made.
    """
    from tasks.context import calibration

    recipe, revision = entry.recipe, checkpoint.resolve(entry)
    names = _variants(recipe, revision)
    if unknown := wanted - {*names}:
        raise SourceMissing(f"candidate {min(unknown)}", f"name one of {', '.join(names)}")
    weights = checkpoint.download(revision, workspace)
    if wanted and isinstance(recipe, QuantizeRecipe):
        chosen = tuple(each for each in recipe.candidates if each.variant in wanted)
        recipe = recipe.model_copy(update={"candidates": chosen})
    results = artifacts.build(weights, recipe, workspace, calibration(recipe))
    built = [each for each in results if not wanted or each.variant in wanted]
    faults = {each.variant: _fault(each) for each in built}
    runnable = tuple(each.artifact for each in built if each.artifact and not faults[each.variant])
    if not runnable:
        reasons = "; ".join(f"{variant}: {fault}" for variant, fault in faults.items())
        raise SourceMissing(f"a candidate of {entry.name} that runs here", reasons)
    return weights, runnable


def _fault(built: BuildResult) -> str | None:
    """Return why a candidate does not run here; None if it does."""
    return built.reason or (unmeasurable(built.artifact) if built.artifact else None)


def _variants(recipe: Recipe, revision: Revision) -> tuple[str, ...]:
    """Return the names of a recipe's candidates, which are known before any is made."""
    if isinstance(recipe, SelectRecipe):
        return revision.published_variants
    return tuple(each.variant for each in recipe.candidates)


def _say(share: float | None, text: str) -> None:  # noqa: ARG001 - as ``Progress`` names it
    console.say(text)


def _facts(revision: Revision, artifact: Artifact, request: harness.TaskRequest) -> dict[str, str]:
    return {
        "source": revision.name,
        "size_bytes": str(artifact.stored.size_bytes),
        "tasks": ", ".join(request.tasks),
        "limit": str(request.limit or "all"),
        "lm_eval": version("lm_eval"),
    }


def _show(model: str, results: list[_Result]) -> None:
    console.table(f"Tasks of {model}", _COLUMNS, (row for each in results for row in _rows(each)))
    console.say(f"\nMLflow experiment {model}/evaluations, runs:")
    for each in results:
        own, source = map(units.duration, (each.cpu_seconds, each.source_cpu_seconds))
        costs = f"processor time {own}, source {source}"
        console.say(f"{each.run_id}  {each.variant}  ({costs})")


def _rows(result: _Result) -> Iterator[tuple[str, ...]]:
    for each in result.comparisons:
        better = "higher" if each.higher_is_better else "lower"
        yield (
            result.variant,
            each.task,
            f"{each.metric} ({better} is better)",
            str(each.items),
            units.number(each.source),
            units.number(each.candidate),
            units.difference(each.difference),
            units.percent(each.power.found, 2) if each.power else units.ABSENT,
            each.state or "",
        )


def _exit_code(results: list[_Result]) -> int:
    """Return 3 if a candidate lost more than the margin, 4 if that is open, else 0."""
    states = {each.state for result in results for each in result.comparisons}
    if "fail" in states:
        return 3
    return 4 if "inconclusive" in states else 0
