"""Weights and Artifact → Manifest: what a release is made of."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from slipway.values import Artifact, Manifest, Stored, Weights

#: Configuration files whose entries are reported one by one when they change.
READ = ("config.json", "generation_config.json", "genai_config.json")


def of(weights: Weights, artifact: Artifact, tools: Mapping[str, str]) -> Manifest:
    """Return the manifest of these files and of the tools that shaped them."""
    revision = weights.revision
    return Manifest(
        repo=revision.source.repo,
        commit=revision.commit,
        license=revision.license,
        chat_template_digest=weights.chat_template_digest,
        variant=artifact.variant,
        settings={
            name: value
            for stored in (weights.stored, artifact.stored)
            for name, value in _settings(stored)
        },
        weights={file.path: file.sha256 for file in weights.stored.files},
        artifact={file.path: file.sha256 for file in artifact.stored.files},
        tools=dict(tools),
    )


def _settings(stored: Stored) -> Iterator[tuple[str, str]]:
    for file in stored.files:
        if file.path in READ:
            text = (stored.folder / file.path).read_text(encoding="utf-8")
            for name, value in _flat(json.loads(text)):
                yield f"{file.path}: {name}", value


def _flat(document: Any, above: str = "") -> Iterator[tuple[str, str]]:
    """Yield the leaves of a document by their path; a list is a leaf."""
    if not isinstance(document, dict) or not document:
        yield above, json.dumps(document, ensure_ascii=False)
        return
    for name, value in document.items():
        yield from _flat(value, f"{above}.{name}" if above else name)
