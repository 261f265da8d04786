"""Both wrappers become logged models of one run.

``log`` runs in a child process, since MLflow keeps models-from-code in a process-wide variable.
"""

import json
import tempfile
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from slipway import keys
from slipway.errors import Unreachable
from slipway.sources import model_card
from slipway.system.failpoints import failpoint
from slipway.system.process import describe
from slipway.system.progress import report
from slipway.system.store import manifest, sha256
from slipway.tracking.heartbeat import beating
from slipway.tracking.lease import Lease, create_run
from slipway.tracking.location import MlflowLocation, connect, experiment_id, may_pass
from slipway.tracking.signatures import signature
from slipway.tracking.tag_values import ReleaseOrigin
from slipway.tracking.tags import KEY, LEASE, SOURCE_NAME, WRAPPER
from slipway.tracking.verified_copy import payload_digest
from slipway.values import WRAPPER_KINDS, Artifact, Contract, Revision, Value, Weights, WrapperKind

#: The reference decodes greedily. The chat template writes the BOS: a tokenizer that adds another
#: one would double it, and MLflow would leave it out of the usage.
TRANSFORMERS_CONFIG = {"max_new_tokens": 256, "do_sample": False, "add_special_tokens": False}


class Registrable(Value):
    """What is logged and registered, once for each key.

    Attributes:
        key: The release key.
        model: Name of the registered model that serves.
        title: Its name for people.
        contract: Of the ONNX wrapper.
        tags: Of the run and of both versions.
        lease: Of the process that logs it.
    """

    location: MlflowLocation
    key: str
    model: str
    title: str
    contract: Contract
    tags: dict[str, str]
    lease: Lease = Field(default_factory=Lease)

    @abstractmethod
    def size_bytes(self, kind: WrapperKind) -> int:
        """Return the size of what a wrapper reads."""

    @abstractmethod
    def difference(self, folder: Path, kind: WrapperKind) -> str | None:
        """Return what in a version's verified copy is not as it would be logged."""


class LogRequest(Registrable):
    """A release that was built here.

    Attributes:
        weights: For the transformers wrapper.
        artifact: For the ONNX wrapper.
        wrapper: The ONNX wrapper's file.
        tools: Installed versions, which become the wrappers' requirements.
    """

    weights: Weights
    artifact: Artifact
    wrapper: Path
    tools: dict[str, str]

    def size_bytes(self, kind: WrapperKind) -> int:
        """Return the size of the artifact or of the weights."""
        return (self.artifact if kind == "onnx" else self.weights).stored.size_bytes

    def difference(self, folder: Path, kind: WrapperKind) -> str | None:
        """Return the first file of a copy that is not as it would be logged; None if all are."""
        from slipway.tracking import logged_files  # which reads this module

        return logged_files.difference(folder, kind, self)


class Logged(Value):
    """Both wrappers, logged in one run.

    Attributes:
        model_ids: MLflow's id of each logged model.
        descriptions: SHA-256 of the ``MLmodel`` of each.
        digests: Of the files that each reads.
        signatures: SHA-256 of the signature inside each; of a new release, there is none yet.
    """

    run_id: str
    model_ids: dict[WrapperKind, str]
    descriptions: dict[WrapperKind, str]
    digests: dict[WrapperKind, str]
    signatures: dict[WrapperKind, str] = Field(default_factory=dict)


def log(request: LogRequest) -> Logged:
    """Return a new run with both wrappers logged in it.

    What an earlier run logged is neither used nor touched: its tags prove nothing, and another
    machine may still be writing it. Its lease tells when it may be deleted.

    Raises:
        Unreachable: If MLflow's server does not answer or fails, or refuses what its client has
            repeated.
        MlflowException: If it refuses a request for good.
    """
    import mlflow
    from requests import RequestException

    client = connect(request.location)
    ids: dict[WrapperKind, str] = {}
    descriptions: dict[WrapperKind, str] = {}
    digests: dict[WrapperKind, str] = {}
    try:
        run_id = _create_run(client, request)
        with beating(client, run_id), mlflow.start_run(run_id=run_id):
            for kind in WRAPPER_KINDS:
                report(None, f"logging the {kind} wrapper")
                failpoint("log.before-wrapper")
                ids[kind], descriptions[kind] = _log_wrapper(client, kind, request)
                failpoint("log.after-wrapper")
                digests[kind] = _digest(client, ids[kind], kind, request)
            failpoint("log.after-wrappers")
    except (mlflow.exceptions.MlflowException, RequestException) as error:
        if not _retry_helps(error):
            raise
        raise Unreachable("MLflow", request.location.uri, describe(error)) from error
    failpoint("log.after-end")
    return Logged(run_id=run_id, model_ids=ids, descriptions=descriptions, digests=digests)


def _retry_helps(error: Exception) -> bool:
    """Return whether a new run may succeed after a request to MLflow has failed.

    Its client repeats a request whose reply was lost, and a model cannot become the output of a run
    twice: the database refuses that, which is a ``BAD_REQUEST``.
    """
    return may_pass(error) or getattr(error, "error_code", None) == "BAD_REQUEST"


def origin(
    revision: Revision, artifact: Artifact, wrapper: Path, flow_run_url: str | None
) -> ReleaseOrigin:
    """Return what a release is made of; a server compares a version's files with it."""
    return ReleaseOrigin(
        repo=revision.source.repo,
        commit=revision.commit,
        variant=artifact.variant,
        license=revision.license or "",
        flow_run=flow_run_url or "",
        digest=keys.manifest_digest(artifact.stored.files),
        code=sha256(wrapper),
    )


def requirements(kind: WrapperKind, tools: Mapping[str, str]) -> list[str]:
    """Return what a fresh environment needs to load a wrapper and to predict with it."""
    needed = {
        "onnx": ("jinja2", "mlflow", "onnxruntime", "onnxruntime-genai", "tokenizers"),
        "transformers": ("mlflow", "torch", "transformers"),
    }[kind]
    return [f"{tool}=={tools[tool]}" for tool in needed]


def _create_run(client: Any, request: LogRequest) -> str:
    from mlflow.entities import Param

    revision = request.weights.revision
    experiment = experiment_id(client, request.model, request.location)
    name = f"{revision.short} {request.artifact.variant}"
    failpoint("log.before-run")
    run_id = create_run(client, experiment, request.lease, name, {KEY: request.key, **request.tags})
    failpoint("log.after-run")
    parameters = _parameters(request).items()
    params = [Param(name, str(value)) for name, value in parameters]
    client.log_batch(run_id, params=params)
    failpoint("log.after-parameters")
    return run_id


def _parameters(request: LogRequest) -> dict[str, str | int]:
    revision = request.weights.revision
    return {
        "source.repo": revision.source.repo,
        "source.commit": revision.commit,
        "source.digest": revision.digest,
        "source.scan": revision.scan,
        "source.license": revision.license or "",
        "source.chat_template": request.weights.chat_template_digest or "none",
        "artifact.variant": request.artifact.variant,
        "artifact.origin": request.artifact.origin or "built here",
        "artifact.nodes": json.dumps(request.artifact.nodes),
        "architecture": request.weights.architecture,
        "parameters": request.weights.parameters,
        **{f"version.{tool}": version for tool, version in request.tools.items()},
    }


def _log_wrapper(client: Any, kind: WrapperKind, request: LogRequest) -> tuple[str, str]:
    """Return the id of one wrapper, logged without loading its model, and its ``MLmodel``'s sum."""
    info = _log_onnx(request) if kind == "onnx" else _log_transformers(request)
    failpoint("log.after-ready")
    description = _remove_host_paths(client, info.model_id, kind, request)
    failpoint("log.after-paths")
    tags = {KEY: request.key, WRAPPER: kind, SOURCE_NAME: "slipway"}
    client.set_logged_model_tags(info.model_id, tags)
    return info.model_id, description


def _log_onnx(request: LogRequest) -> Any:
    import mlflow

    return mlflow.pyfunc.log_model(
        name="onnx",
        python_model=str(request.wrapper),
        artifacts={"model": str(request.artifact.stored.folder)},
        signature=signature(request.contract),
        pip_requirements=requirements("onnx", request.tools),
        model_config=onnx_config(request),
        tags={LEASE: request.lease.id},
    )


def onnx_config(request: LogRequest) -> dict[str, Any]:
    """Return the configuration of the ONNX wrapper, which its ``MLmodel`` holds."""
    return {
        "contract": request.contract,
        "model_name": request.model,
        "max_tokens": 256,
        "temperature": 0.0,
    }


def _log_transformers(request: LogRequest) -> Any:
    import mlflow

    folder = request.weights.stored.folder
    return mlflow.transformers.log_model(
        str(folder),
        name="transformers",
        task="llm/v1/chat",
        pip_requirements=requirements("transformers", request.tools),
        model_config=TRANSFORMERS_CONFIG,
        model_card=model_card.read(folder),
        tags={LEASE: request.lease.id},
    )


def _digest(client: Any, model_id: str, kind: WrapperKind, request: LogRequest) -> str:
    """Return the digest of the files that a logged wrapper reads.

    MLflow copies an artifact and a checkpoint as they are, and writes the tokenizer again.
    """
    import mlflow

    if kind == "onnx":
        return keys.manifest_digest(request.artifact.stored.files)
    location = client.get_logged_model(model_id).artifact_location
    with tempfile.TemporaryDirectory() as room:
        written = mlflow.artifacts.download_artifacts(f"{location}/components", dst_path=room)
        files = {"model": request.weights.stored.files, "components": manifest(Path(written))}
    return payload_digest(
        kind,
        tuple(
            file.model_copy(update={"path": f"{folder}/{file.path}"})
            for folder, found in files.items()
            for file in found
        ),
    )


def _remove_host_paths(client: Any, model_id: str, kind: WrapperKind, request: LogRequest) -> str:
    """Replace the paths of this machine that MLflow writes into a logged model.

    ``MLmodel`` holds the paths that MLflow was given, the transformers flavor returns one of them
    as the model's name, and its license file names one where it finds no license online.

    Returns:
        SHA-256 of ``MLmodel`` as it is then.
    """
    import mlflow

    with tempfile.TemporaryDirectory() as room:
        address = f"{client.get_logged_model(model_id).artifact_location}/MLmodel"
        file = Path(mlflow.artifacts.download_artifacts(address, dst_path=room))
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
        document["artifact_path"] = kind
        flavors = document["flavors"]
        if kind == "onnx":
            pyfunc = flavors["python_function"]
            pyfunc["model_code_path"] = request.wrapper.name
            pyfunc["artifacts"]["model"]["uri"] = "model"
        else:
            flavors["transformers"]["source_model_name"] = request.weights.revision.source.repo
        file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        client.log_model_artifact(model_id, str(file))
        for file_ in request.weights.stored.folder.glob("LICEN*"):
            text = Path(room) / "LICENSE.txt"
            text.write_bytes(file_.read_bytes())
            client.log_model_artifact(model_id, str(text))
        return sha256(file)
