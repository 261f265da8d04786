"""How tasks behave: when they try again, what they may reuse, how they tell how far they are."""

import functools
import re
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypedDict, TypeVar, cast
from uuid import UUID

from prefect import Task, get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext

from slipway.errors import SlipwayError, StoreDamaged
from slipway.evaluation import texts_digest
from slipway.keys import RECIPES, digest, weights_key
from slipway.settings import toolchain
from slipway.system import store
from slipway.values import Artifact, BuildResult, Entry, Evaluation, Revision, Weights
from tasks.context import texts

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result", Weights, tuple[BuildResult, ...], tuple[Evaluation, ...])

_UPDATE_SECONDS = 2.0


def worth_retrying(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Tell whether the same step may succeed when it is tried again: the error itself says so."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, SlipwayError) and error.retryable


class Retries(TypedDict):
    """What a task's decorator says of retries."""

    retries: int
    retry_delay_seconds: list[float]
    retry_condition_fn: Callable[[Task[..., Any], TaskRun, State[Any]], bool]


#: How every task tries again; the libraries below us have already tried a few times by then.
RETRIED = Retries(
    retries=3, retry_delay_seconds=[2.0, 5.0, 15.0], retry_condition_fn=worth_retrying
)


def by_revision(_context: TaskRunContext, inputs: dict[str, Any]) -> str:
    """Name a download by what is fetched and, where it is converted, by the tools."""
    revision: Revision = inputs["revision"]
    return weights_key(revision, toolchain())


def by_recipe(_context: TaskRunContext, inputs: dict[str, Any]) -> str:
    """Name an artifact by the weights, the recipe and the tools."""
    weights: Weights = inputs["weights"]
    published = weights.revision.published
    identity = [
        RECIPES["artifact"],
        weights.stored.key,
        published and published.model_dump(mode="json"),
        inputs["recipe"].model_dump(mode="json"),
        toolchain(),
    ]
    return f"attempts-{digest(identity)[:32]}"


def by_candidates(_context: TaskRunContext, inputs: dict[str, Any]) -> str:
    """Name measurements by what is measured, on which texts, with which tools."""
    entry: Entry = inputs["entry"]
    weights: Weights = inputs["weights"]
    attempts: tuple[BuildResult, ...] = inputs["attempts"]
    built = [(each.variant, each.artifact and each.artifact.stored.key) for each in attempts]
    read = texts_digest(texts(entry))
    identity = [RECIPES["trial"], weights.stored.key, built, read, toolchain()]
    return f"trials-{entry.name}-{digest(identity)[:16]}"


def verified(task: Task[Arguments, Result]) -> Callable[Arguments, Result]:
    """Return ``task`` so that what it hands on holds today, whatever was cached.

    A cached result says where files lay when it was made, and what could not be done then. If files
    are gone or changed since, or something had failed, the task runs again and its new result
    replaces the cached one; what is still in the store is not made twice.
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
    """Return what is wrong with a result that was handed on; None if nothing is."""
    several = () if isinstance(result, Weights) else result  # a cached tuple comes back as a list
    artifacts = (each.artifact for each in several if isinstance(each, BuildResult))
    try:
        for made in (result, *artifacts):
            if isinstance(made, Weights | Artifact):
                store.verify(made.stored)
    except StoreDamaged as error:
        return str(error)
    failed = [f"{each.variant}: {each.reason}" for each in several if each.reason]
    return f"trying again what had failed: {'; '.join(failed)}" if failed and cached else None


class Reporter:
    """Shows a step's progress in the terminal and in the Prefect UI.

    Args:
        step: Name of the step; with ``about`` it names the artifact.
        about: What it works on.
    """

    def __init__(self, step: str, about: str) -> None:
        self._logger = get_run_logger()
        self._told: tuple[str, int] | None = None
        self._updated_at = 0.0
        slug = re.sub(r"[^a-z0-9]+", "-", f"{step}-{about}".lower())
        made = create_progress_artifact(0.0, key=slug, description=f"{step} {about}")
        self._artifact = cast("UUID", made)

    def __call__(self, share: float | None, text: str) -> None:
        """Log what is new: another kind of work, or the next tenth of it."""
        news = (text.split(maxsplit=1)[0], -1 if share is None else int(share * 10))
        if news != self._told:
            self._logger.info(text if share is None else f"{share:4.0%}  {text}")
            self._told = news
        if share is not None and (share == 1 or self._is_due()):
            update_progress_artifact(self._artifact, progress=share * 100)

    def _is_due(self) -> bool:
        """Tell whether the last update is long enough ago: each one is a request."""
        due = time.monotonic() - self._updated_at > _UPDATE_SECONDS
        if due:
            self._updated_at = time.monotonic()
        return due
