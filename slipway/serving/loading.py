"""The engine's door to MLflow: a registered version, verified and loaded."""

from pathlib import Path
from typing import Any

import yaml

from slipway import keys
from slipway.errors import ArtifactChanged, SourceMissing
from slipway.serving.model_cache import cached_copy
from slipway.serving.pointer import Pointer
from slipway.serving.protocol import Load, Loaded
from slipway.system import store
from slipway.tracking.location import connect
from slipway.tracking.tags import CODE, DIGEST, MLMODEL


def load(request: Load) -> tuple[Any, Loaded]:
    """Return the Python model of a version, and what it is.

    Its files are compared with what was released before any of them is used.

    Raises:
        ArtifactChanged: If they differ.
        SourceMissing: If there is no such version, or its release kept no digests.
        Unreachable: If MLflow does not answer.
    """
    import mlflow

    connect(request.place)
    released = _released(request.pointer)
    folder = _folder(request, released)
    model = mlflow.pyfunc.load_model(str(folder)).unwrap_python_model()
    return model, Loaded(digest=released[DIGEST], max_tokens=model.defaults.max_tokens)


def _folder(request: Load, released: dict[str, str]) -> Path:
    """Return the files, verified: where they lie on this machine, or a copy of a server's."""
    from mlflow.artifacts import download_artifacts

    pointer = request.pointer
    uri = f"models:/{pointer.model}/{pointer.version}"

    def fetch(folder: Path) -> None:
        download_artifacts(uri, dst_path=str(folder))
        verify(folder, pointer, released)

    if request.place.artifacts is None:
        return cached_copy(pointer, released, request.copies, fetch)
    folder = Path(download_artifacts(uri))
    verify(folder, pointer, released)
    return folder


def verify(folder: Path, pointer: Pointer, released: dict[str, str]) -> None:
    """Compare a version's files with what was released.

    These are the artifact, ``MLmodel``, which says what is executed, and the wrapper's code, which
    it names. A version that was released before ``MLmodel`` was kept track of has no digest of it.

    Args:
        folder: The logged model, as it was downloaded.
        pointer: For the error.
        released: The version's tags.

    Raises:
        ArtifactChanged: Naming which of them differs.
    """
    description = folder / "MLmodel"
    code = yaml.safe_load(description.read_text(encoding="utf-8"))["flavors"]
    wrapper = folder / Path(code["python_function"]["model_code_path"]).name
    found = {
        description.name: (MLMODEL, store.sha256(description)),
        "artifacts/model": (
            DIGEST,
            keys.manifest_digest(store.manifest(folder / "artifacts/model")),
        ),
        wrapper.name: (CODE, store.sha256(wrapper)),
    }
    for files, (tag, digest) in found.items():
        if digest != released.get(tag, digest):
            raise ArtifactChanged(str(pointer), files, released[tag], digest)


def _released(pointer: Pointer) -> dict[str, str]:
    """Return the tags of a version that say what its bytes are."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        version = MlflowClient().get_model_version(pointer.model, str(pointer.version))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        advice = f"`slipway status {pointer.model}` shows which there are"
        raise SourceMissing(str(pointer), advice) from error
    if not {DIGEST, CODE} <= version.tags.keys():
        advice = "it was not released by `slipway release`, or by an older one; release it again"
        raise SourceMissing(f"the digest of {pointer}", advice)
    return {tag: version.tags[tag] for tag in (DIGEST, CODE, MLMODEL) if tag in version.tags}
