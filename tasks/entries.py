"""Model → Entry, and what the registry already has of it."""

from typing import get_args

from prefect import task
from prefect.runtime import flow_run

from slipway import catalogue, keys
from slipway.checks import suites
from slipway.errors import SourceMissing
from slipway.evaluation import texts_digest
from slipway.settings import Settings, toolchain
from slipway.system.store import sha256
from slipway.values import (
    Champion,
    Entry,
    HubSource,
    Precision,
    QuantizeRecipe,
    Recipe,
    Release,
    Revision,
    Source,
)
from tasks.approval import apply_answer, start_form
from tasks.context import registry, texts
from tasks.policies import uncached


def entry_of(model: str) -> Entry:
    """Return the catalogue's entry ``model``."""
    return catalogue.find(Settings().catalogue, model)


def all_entries() -> tuple[Entry, ...]:
    """Return every entry of the catalogue."""
    return tuple(catalogue.load(Settings().catalogue).values())


def as_requested(entry: Entry, ref: str | None, recipe: str) -> Entry:
    """Return ``entry`` with what a person requested instead of what the catalogue says.

    Args:
        entry: As in the catalogue.
        ref: Branch, tag or commit on the Hub; None for the catalogue's.
        recipe: A precision to build alone; any other text leaves the catalogue's recipe.

    Raises:
        SourceMissing: If the source has no refs.
    """
    changes: dict[str, Source | Recipe] = {}
    if ref:
        if not isinstance(entry.source, HubSource):
            advice = "leave the ref out, since the source is no repository on the Hub"
            raise SourceMissing(f"ref {ref!r} of {entry.name}", advice)
        changes["source"] = entry.source.model_copy(update={"ref": ref})
    if recipe in get_args(Precision):
        changes["recipe"] = QuantizeRecipe.model_validate({"candidates": [{"precision": recipe}]})
    return entry.model_copy(update=changes)


def key_of(entry: Entry, revision: Revision) -> str:
    """Return the release key: what is made, of what, with what, and how it is tested."""
    settings = Settings()
    shipped = {
        "wrapper": sha256(settings.wrappers / "onnx_genai.py"),
        "prompts": sha256(settings.expectations / "prompts" / f"{entry.suite}.json"),
        "texts": texts_digest(texts(entry)),
        "onnx": suites.suite_digest(settings.expectations, entry.wrappers.onnx),
        "transformers": suites.suite_digest(settings.expectations, entry.wrappers.transformers),
    }
    return keys.release_key(entry, revision, toolchain(), shipped)


def key_of_repetition(key: str) -> str:
    """Return the key of what this flow run releases once more; the same if the run is retried."""
    return keys.digest([key, flow_run.id])


@task(
    task_run_name="find {entry.name} {key:.8}",
    description="Look in the registry for an earlier release with this key.",
    **uncached(timeout_seconds=600),
)
def find_release(entry: Entry, key: str) -> Release | None:
    """Return the finished release with this key; None if there is none.

    An answer that a person gave in the MLflow UI is carried out before. A release that waits has
    its form afterwards, also if the run that should have started it was interrupted.
    """
    apply_answer(entry)
    release = registry().released(entry.name, key)
    if release and release.waiting:
        start_form(release)
    return release


@task(
    task_run_name="find the champion of {entry.name}",
    description="Read the champion, and what was measured of it; every later step uses this one.",
    **uncached(timeout_seconds=600),
)
def find_champion(entry: Entry) -> Champion | None:
    """Return the champion of this moment; None if there is none."""
    return registry().measured_champion(entry.name, entry.wrappers.onnx)
