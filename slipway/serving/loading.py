"""Loads a registered version in the engine, after its files were compared with those released."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from slipway import keys
from slipway.errors import ArtifactChanged, SourceMissing
from slipway.serving.protocol import Load, Loaded, Pointer
from slipway.system import store
from slipway.system.store import Store
from slipway.tracking.location import connect
from slipway.tracking.tags import CODE, DIGEST, MLMODEL

#: Folder of the copies, in the folder of the model's server.
COPIES = "copies"


def load(request: Load) -> tuple[Any, Loaded]:
    """Return the Python model of a version, and what the engine reports about it.

    Raises:
        ArtifactChanged: If its files are not those released.
        SourceMissing: If there is no such version, or it has no digests.
        Unreachable: If MLflow does not answer.
    """
    import mlflow

    connect(request.location)
    released = released_digests(request.pointer)
    folder = verified_files(request, released)
    model = mlflow.pyfunc.load_model(str(folder)).unwrap_python_model()
    return model, Loaded(digest=released[DIGEST], max_tokens=model.defaults.max_tokens)


def released_digests(pointer: Pointer) -> dict[str, str]:
    """Return a version's tags that hold the digests of its files.

    Raises:
        SourceMissing: If there is no such version, or it has no digests.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        version = MlflowClient().get_model_version(pointer.model, str(pointer.version))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        advice = f"`slipway status {pointer.model}` lists the versions"
        raise SourceMissing(str(pointer), advice) from error
    if not {DIGEST, CODE} <= version.tags.keys():
        advice = "it was not released by `slipway release`, or by an older one; release it again"
        raise SourceMissing(f"the digest of {pointer}", advice)
    return {tag: version.tags[tag] for tag in (DIGEST, CODE, MLMODEL) if tag in version.tags}


def verified_files(request: Load, released: Mapping[str, str]) -> Path:
    """Return the folder of a version's files: where they are on this machine, or a verified copy.

    Files of an MLflow server are downloaded once. All workers, restarts and preflights share that
    copy, of which every byte is read again at each load.
    """
    from mlflow.artifacts import download_artifacts

    pointer = request.pointer
    uri = f"models:/{pointer.model}/{pointer.version}"

    def download(folder: Path) -> None:
        download_artifacts(uri, dst_path=str(folder))
        verify(folder, pointer, released)

    if request.location.artifacts is None:
        key = f"{pointer.version}-{keys.digest(dict(released))[:16]}"
        return Store(request.copies).make(key, download).folder
    folder = Path(download_artifacts(uri))
    verify(folder, pointer, released)
    return folder


def remove_copies(root: Path, *, except_versions: set[int]) -> None:
    """Remove the copies of all other versions."""
    for copy in root.glob("*-*/"):
        if int(copy.name.partition("-")[0]) not in except_versions:
            shutil.rmtree(copy, ignore_errors=True)


def verify(folder: Path, pointer: Pointer, released: Mapping[str, str]) -> None:
    """Compare a version's files with those released.

    These are the artifact, ``MLmodel``, which decides what is executed, and the wrapper's code,
    which it names. Versions released before ``MLmodel`` was recorded have no digest of it.

    Args:
        folder: The logged model, as it was downloaded.
        pointer: For the error.
        released: The version's tags.

    Raises:
        ArtifactChanged: Naming what differs.
    """
    description = folder / "MLmodel"
    flavors = yaml.safe_load(description.read_text(encoding="utf-8"))["flavors"]
    wrapper = folder / Path(flavors["python_function"]["model_code_path"]).name
    artifact = keys.manifest_digest(store.manifest(folder / "artifacts/model"))
    found = {
        description.name: (MLMODEL, store.sha256(description)),
        "artifacts/model": (DIGEST, artifact),
        wrapper.name: (CODE, store.sha256(wrapper)),
    }
    for files, (tag, digest) in found.items():
        if digest != released.get(tag, digest):
            raise ArtifactChanged(str(pointer), files, released[tag], digest)
