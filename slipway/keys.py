"""What identifies things: two with the same key are the same thing. Pure."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from slipway.values import (
    BuildResult,
    Calibration,
    Entry,
    FileEntry,
    Gates,
    Published,
    Quantization,
    QuantizeRecipe,
    Recipe,
    Revision,
    SearchRecipe,
    Stored,
    Value,
    Weights,
)

#: Raised when a step changes what it writes: stored results of older steps are then not used.
RECIPES = {
    "weights": 1,
    "artifact": 2,
    "reading": 2,
    "evaluation": 2,
    "search": 1,
    "tasks": 1,
    "release": 2,
}

#: Raised when the fields of a value change that Prefect keeps as a task's result.
_RESULT_FORMAT = 7

#: Fields of an entry that change nothing of what is made or how it is tested.
_NOT_THE_MODEL = {
    *("title", "schedule", "automatic", "source"),
    *("approval", "approval_timeout_hours", "licenses", "retention"),
}


def digest(value: Any) -> str:
    """Return the SHA-256, 64 hex digits, over ``value`` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def identifies(path: str) -> bool:
    """Return whether a file is part of a model's identity; its card is not."""
    return path.rpartition("/")[2] != "README.md"


def manifest_digest(files: Iterable[FileEntry]) -> str:
    """Return one digest over names and contents, in whatever order ``files`` come."""
    return digest(sorted((file.path, file.sha256) for file in files if identifies(file.path)))


def weights_key(revision: Revision, tools: Mapping[str, str]) -> str:
    """Return the store's name for the checkpoint of ``revision``.

    Only a source that is converted here depends on the tools.
    """
    converted = dict(tools) if revision.source.kind == "package" else {}
    identity = [RECIPES["weights"], revision.source.repo, revision.digest, converted]
    return f"weights-{_slug(revision.source.repo)}-{digest(identity)[:16]}"


def artifact_key(
    weights: str,
    revision: Revision,
    made_of: Quantization | Published,
    tools: Mapping[str, str],
    calibration: Calibration | None = None,
) -> str:
    """Return the store's name for an artifact that is made of the checkpoint named ``weights``.

    Args:
        weights: The name.
        revision: What the checkpoint comes from.
        made_of: How the artifact is built of this checkpoint, or what was published; the latter
            depends neither on the checkpoint nor on the tools.
        tools: Versions of the tools that shape the bytes.
        calibration: The texts that a method reads which calibrates.
    """
    how: list[Any] = [made_of.model_dump(mode="json")]
    if isinstance(made_of, Quantization):
        how = [weights, *map(_without_unused, how), dict(tools)]
        how += [calibration.digest] if calibration and made_of.method == "gptq" else []
    return f"artifact-{_slug(revision.source.repo)}-{digest([RECIPES['artifact'], *how])[:16]}"


def reading_key(weights: Weights, texts: str, tools: Mapping[str, str]) -> str:
    """Return the store's name for a source's reading of the texts with this digest.

    Only the tools that run the source matter.
    """
    runs = {name: tools.get(name) for name in ("torch", "transformers")}
    identity = [RECIPES["reading"], manifest_digest(weights.stored.files), texts, runs]
    return f"reading-{_slug(weights.revision.source.repo)}-{digest(identity)[:16]}"


def costs_key(reading: str, groups: Iterable[Value], block_size: int) -> str:
    """Return the store's name for what groups of layers cost on the reading with this name."""
    measured = [each.model_dump(mode="json") for each in groups]
    return f"costs-{digest([RECIPES['search'], reading, measured, block_size])[:16]}"


def comparison_key(artifact: str, reading: str) -> str:
    """Return the store's name for how close an artifact is to its source, both by their names."""
    return f"comparison-{digest([RECIPES['evaluation'], artifact, reading])[:16]}"


def task_run_key(model: Stored, request: Mapping[str, Any], tools: Mapping[str, str]) -> str:
    """Return the store's name for what a model reaches on tasks.

    Args:
        model: The checkpoint or artifact.
        request: Which items of which tasks, and the digest of the folder with task files.
        tools: Versions of the tools that run a model, and of the harness.
    """
    identity = [RECIPES["tasks"], manifest_digest(model.files), dict(request), dict(tools)]
    return f"tasks-{digest(identity)[:16]}"


def search_key(  # noqa: PLR0913, PLR0917 - what is found depends on all of them
    weights: Weights,
    recipe: SearchRecipe,
    limits: Gates,
    texts: str,
    tools: Mapping[str, str],
    calibration: Calibration | None = None,
) -> str:
    """Return the store's name for what a search found on the texts with this digest."""
    reading = reading_key(weights, texts, tools)
    numbers = [RECIPES[step] for step in ("search", "artifact", "evaluation")]
    values = [_search_fields(recipe), limits.model_dump(mode="json")]
    identity = [numbers, weights.stored.key, reading, *values, dict(tools)]
    identity += [calibration.digest] if calibration else []
    return f"search-{_slug(weights.revision.source.repo)}-{digest(identity)[:16]}"


def release_key(
    entry: Entry, revision: Revision, tools: Mapping[str, str], shipped: Mapping[str, str]
) -> str:
    """Return what identifies a release: nothing with the same key is built or promoted twice.

    The commit itself is left out: one that changes none of the used files is no new release.

    Args:
        entry: The catalogue's entry; its title, its schedule and who approves do not matter.
        revision: The repository, and the digest of the files that are used of it.
        tools: Versions of the tools that shape the bytes.
        shipped: Digests of what is shipped or asked: wrapper, smoke prompts, suites.
    """
    unused = {"unmeasured"} if entry.unmeasured == "refuse" else set()
    unused |= set() if entry.tasks else {"tasks"}  # so that keys stay as before the field
    fields = entry.model_dump(mode="json", exclude=_NOT_THE_MODEL | unused)
    if isinstance(entry.recipe, QuantizeRecipe):
        candidates = fields["recipe"]["candidates"]
        fields["recipe"]["candidates"] = [_without_unused(each) for each in candidates]
    if isinstance(entry.recipe, SearchRecipe):
        fields["recipe"] = _search_fields(entry.recipe)
    identity = {
        "recipe_number": RECIPES["release"],
        "entry": {
            **fields,
            "licences": entry.licenses,  # as it was once called, so that keys stay the same
        },
        "repo": revision.source.repo,
        "digest": revision.digest,
        "tools": dict(tools),
        "shipped": dict(shipped),
    }
    return digest(identity)


def builds_key(
    weights: Weights,
    recipe: Recipe,
    tools: Mapping[str, str],
    calibration: Calibration | None = None,
) -> str:
    """Return what identifies the candidates of a recipe: the keys of their artifacts."""
    made_of: tuple[Quantization | Published, ...] = weights.revision.published
    if isinstance(recipe, QuantizeRecipe):
        made_of = tuple(each.for_checkpoint(tied=weights.tied) for each in recipe.candidates)
    precisions = [each.precision for each in recipe.candidates]
    identity = [
        (precision, artifact_key(weights.stored.key, weights.revision, what, tools, calibration))
        for precision, what in zip(precisions, made_of, strict=True)
    ]
    return f"builds-{_slug(weights.revision.source.repo)}-{digest(identity)[:16]}"


def evaluations_key(
    weights: Weights,
    built: Iterable[BuildResult],
    texts: str,
    speed_rounds: int,
    tools: Mapping[str, str],
) -> str:
    """Return what identifies the measurements of candidates on the texts with this digest."""
    artifacts = [(each.variant, each.artifact and each.artifact.stored.key) for each in built]
    reference = reading_key(weights, texts, tools)
    identity = [RECIPES["evaluation"], reference, artifacts, speed_rounds, dict(tools)]
    return f"evaluations-{_slug(weights.revision.source.repo)}-{digest(identity)[:16]}"


def result_key(identity: str) -> str:
    """Return the name under which Prefect keeps the result that one of these keys identifies."""
    return f"{identity}-format-{_RESULT_FORMAT}"


def entry_digest(entry: Entry) -> str:
    """Return what changes when anything of an entry changes."""
    return digest(entry.model_dump(mode="json"))


def _without_unused(candidate: dict[str, Any]) -> dict[str, Any]:
    """Leave out the fields that a candidate does not use and earlier versions did not have.

    Embeddings in float32 are what earlier versions always wrote. Where a recipe leaves them to the
    checkpoint, the key of its release changes, since the checkpoint is not known there.
    """
    unused = {
        "mixed": not candidate["mixed"],
        "embeddings": candidate["embeddings"] == "float" or candidate["precision"] == "fp32",
    }
    return {name: value for name, value in candidate.items() if not unused.get(name)}


def _search_fields(recipe: SearchRecipe) -> dict[str, Any]:
    """Leave out the method that earlier versions always had."""
    unused = {"method"} if recipe.method == "rtn" else set()
    return recipe.model_dump(mode="json", exclude=unused)


def _slug(repo: str) -> str:
    return repo.replace("/", "--").lower()
