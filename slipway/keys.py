"""What identifies things: two with the same key are the same thing. Pure."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from slipway.values import (
    BuildResult,
    Entry,
    FileEntry,
    Quantization,
    QuantizeRecipe,
    Recipe,
    Revision,
    Weights,
)

#: Raised when a step changes what it writes: stored results of older steps are then not used.
RECIPES = {"weights": 1, "artifact": 1, "reading": 1, "evaluation": 1, "release": 2}

#: Raised when the fields of a value change that Prefect keeps as a task's result.
_RESULT_FORMAT = 2

#: Fields of an entry that change nothing of what is made or how it is tested.
_NOT_THE_MODEL = {
    *("title", "schedule", "automatic", "source"),
    *("approval", "approval_timeout_hours", "licenses"),
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
    weights: str, revision: Revision, candidate: Quantization | None, tools: Mapping[str, str]
) -> str:
    """Return the store's name for an artifact.

    Args:
        weights: The store's name for the checkpoint.
        revision: Where it comes from.
        candidate: How it is built; None for a published one.
        tools: Versions of the tools that shape its bytes.
    """
    how = (
        [weights, candidate.model_dump(mode="json"), dict(tools)]
        if candidate
        else [revision.published.model_dump(mode="json") if revision.published else None]
    )
    return f"artifact-{_slug(revision.source.repo)}-{digest([RECIPES['artifact'], *how])[:16]}"


def reading_key(weights: Weights, texts: str, tools: Mapping[str, str]) -> str:
    """Return the store's name for a source's reading of the texts.

    Args:
        weights: The source.
        texts: Digest of the texts.
        tools: Versions of the tools; only those that run the source matter.
    """
    runs = {name: tools.get(name) for name in ("torch", "transformers")}
    identity = [RECIPES["reading"], manifest_digest(weights.stored.files), texts, runs]
    return f"reading-{_slug(weights.revision.source.repo)}-{digest(identity)[:16]}"


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
    identity = {
        "recipe_number": RECIPES["release"],
        "entry": {
            **entry.model_dump(mode="json", exclude=_NOT_THE_MODEL),
            "licences": entry.licenses,  # as it was once called, so that keys stay the same
        },
        "repo": revision.source.repo,
        "digest": revision.digest,
        "tools": dict(tools),
        "shipped": dict(shipped),
    }
    return digest(identity)


def builds_key(weights: Weights, recipe: Recipe, tools: Mapping[str, str]) -> str:
    """Return what identifies the candidates of a recipe: the keys of their artifacts."""
    candidates = recipe.candidates if isinstance(recipe, QuantizeRecipe) else (recipe,)
    identity = [
        (
            each.precision,
            artifact_key(
                weights.stored.key,
                weights.revision,
                each if isinstance(each, Quantization) else None,
                tools,
            ),
        )
        for each in candidates
    ]
    return f"builds-{_slug(weights.revision.source.repo)}-{digest(identity)[:16]}"


def evaluations_key(
    weights: Weights,
    built: Iterable[BuildResult],
    texts: str,
    speed_rounds: int,
    tools: Mapping[str, str],
) -> str:
    """Return what identifies the measurements of built candidates.

    Args:
        weights: What they are compared with.
        built: The candidates; one that could not be built has no artifact.
        texts: Digest of the texts.
        speed_rounds: How often each is timed.
        tools: Versions of the tools.
    """
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


def _slug(repo: str) -> str:
    return repo.replace("/", "--").lower()
