"""How tasks behave: when they are retried, and what they may reuse."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

from prefect import Task, get_run_logger
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext

from slipway import keys
from slipway.errors import SlipwayError, StoreDamaged
from slipway.evaluation.texts import texts_digest
from slipway.libraries import toolchain
from slipway.settings import Settings
from slipway.system import store
from slipway.tracking.location import may_pass
from slipway.values import Artifact, BuildResult, Evaluation, Recipe, Revision, Weights
from tasks.context import calibration, texts

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result", Weights, tuple[BuildResult, ...], tuple[Evaluation, ...])

CacheKey = Callable[[TaskRunContext, dict[str, Any]], str]


def worth_retrying(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Return whether a failed step is worth retrying: the error itself says so, or MLflow's."""
    error = state.result(raise_on_failure=False)
    if isinstance(error, SlipwayError):
        return error.retryable
    return isinstance(error, Exception) and may_pass(error)


#: How every task is retried; the libraries below us have already tried a few times by then.
RETRIES: dict[str, Any] = {
    "retries": 3,
    "retry_delay_seconds": [2.0, 5.0, 15.0],
    "retry_condition_fn": worth_retrying,
}


def uncached(timeout_seconds: float | None = None) -> dict[str, Any]:
    """Return the options of a task that reads or changes what others may change too."""
    return {**RETRIES, "cache_policy": NO_CACHE, "timeout_seconds": timeout_seconds}


def cached(key: CacheKey, timeout_seconds: float) -> dict[str, Any]:
    """Return the options of a task whose result ``key`` identifies."""
    stored = {"cache_key_fn": key, "persist_result": True}
    return {**RETRIES, **stored, "timeout_seconds": timeout_seconds}


def by_revision(_context: TaskRunContext, inputs: dict[str, Any]) -> str:
    """Return the cache key of a download."""
    revision: Revision = inputs["revision"]
    return keys.result_key(keys.weights_key(revision, toolchain()))


def by_recipe(_context: TaskRunContext, inputs: dict[str, Any]) -> str:
    """Return the cache key of the artifacts of a recipe."""
    recipe: Recipe = inputs["recipe"]
    key = keys.builds_key(inputs["weights"], recipe, toolchain(), calibration(recipe))
    return keys.result_key(key)


def by_candidates(_context: TaskRunContext, inputs: dict[str, Any]) -> str:
    """Return the cache key of the measurements of built candidates."""
    built: Sequence[BuildResult] = inputs["built"]
    read = texts_digest(texts(inputs["entry"]))
    rounds = Settings().speed_rounds
    key = keys.evaluations_key(inputs["weights"], built, read, rounds, toolchain())
    return keys.result_key(key)


def verified(task: Task[Arguments, Result]) -> Callable[Arguments, Result]:
    """Return ``task`` so that its result is valid now, whatever was cached.

    A cached result names the files and the failures of the time when it was made, and the folders
    of the machine that made it. If files are missing here or changed since, or something had
    failed, the task runs again and its new result replaces the cached one; what is still in the
    store is not made twice.
    """

    @functools.wraps(task.fn)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        state = task(*args, **kwargs, return_state=True)
        result = state.result()
        if fault := _fault(result, cached=state.name == "Cached"):
            get_run_logger().warning(fault)
            return task.with_options(refresh_cache=True)(*args, **kwargs)
        return result

    return run


def _fault(result: Weights | tuple[BuildResult | Evaluation, ...], *, cached: bool) -> str | None:
    """Return what is wrong with a result; None if nothing is."""
    several = () if isinstance(result, Weights) else result  # a cached tuple comes back as a list
    built = (each.built if isinstance(each, Evaluation) else each for each in several)
    artifacts = (each.artifact for each in built)
    try:
        for made in (result, *artifacts):
            if isinstance(made, Weights | Artifact):
                store.verify(made.stored)
    except StoreDamaged as error:
        return str(error)
    failed = [f"{each.variant}: {each.reason}" for each in several if each.reason]
    return f"retrying what had failed: {'; '.join(failed)}" if failed and cached else None
