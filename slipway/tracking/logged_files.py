"""Tells whether a verified copy of a version has the files that a release would log."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from slipway import keys
from slipway.system.store import manifest, sha256
from slipway.tracking import flavors, known_wrappers
from slipway.tracking.log_models import TRANSFORMERS_CONFIG, LogRequest, onnx_config
from slipway.values import Stored, WrapperKind


def difference(folder: Path, kind: WrapperKind, request: LogRequest) -> str | None:
    """Return the first file that is not as ``request`` would log it; None if all are.

    Args:
        folder: The copy, in which nothing else is that could be executed.
        kind: Which wrapper it is taken for.
        request: What this release would log.
    """
    found = {file.path: file.sha256 for file in manifest(folder)}
    stored = request.weights.stored, request.artifact.stored
    expected = dict(expected_files(kind, *stored, request.wrapper.parent))
    written = {path for path in found if path == "MLmodel" or path.startswith("components/")}
    for path in sorted(found.keys() - written | expected.keys()):
        if found.get(path) != expected.get(path):
            return f"{path} differs"
    return None if _flavors(folder) == expected_flavors(kind, request) else "MLmodel differs"


def expected_files(
    kind: WrapperKind, weights: Stored, artifact: Stored, wrappers: Path
) -> Iterator[tuple[str, str]]:
    """Yield the files that a wrapper must have, with their SHA-256.

    Args:
        kind: Which wrapper.
        weights: Of the transformers wrapper.
        artifact: Of the ONNX wrapper.
        wrappers: Folder of the ONNX wrapper's code.
    """
    below, stored = "model", weights
    if kind == "onnx":
        below, stored = flavors.ARTIFACT, artifact
        yield known_wrappers.FILE, sha256(wrappers / known_wrappers.FILE)
    for file in stored.files:
        if keys.identifies(file.path):  # the model's card is not copied
            yield f"{below}/{file.path}", file.sha256


def _flavors(folder: Path) -> Any:
    try:
        document = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
        return {name: _without_varying(name, each) for name, each in document["flavors"].items()}
    except (OSError, ValueError, TypeError, LookupError, AttributeError, yaml.YAMLError):
        return None


def _without_varying(flavor: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in fields.items() if name not in flavors.VARYING[flavor]}


def expected_flavors(kind: WrapperKind, request: LogRequest) -> dict[str, Any]:
    """Return the flavors in the ``MLmodel`` of a wrapper, but for what varies."""
    filled: dict[str, dict[str, Any]] = {"python_function": {"config": TRANSFORMERS_CONFIG}}
    if kind == "onnx":
        artifacts = {"model": {"path": flavors.ARTIFACT, "uri": "model"}}
        config = onnx_config(request)
        filled["python_function"] = {"artifacts": artifacts, "code": None, "config": config}
    else:
        repo = request.weights.revision.source.repo
        filled["transformers"] = {"code": None, "source_model_name": repo}
    return {name: {**fields, **filled[name]} for name, fields in flavors.EXECUTED[kind].items()}
