"""Both wrappers become logged models of one run.

``log`` runs in a child process, since MLflow keeps models-from-code in a process-wide variable.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from slipway import keys
from slipway.sources.hub_client import model_card
from slipway.system.progress import report
from slipway.system.store import sha256
from slipway.tracking.location import MlflowLocation, connect, experiment_id
from slipway.tracking.tag_values import ReleaseOrigin
from slipway.tracking.tags import KEY, MLMODEL, SOURCE_NAME, WRAPPER
from slipway.values import Artifact, Entry, Revision, Value, Weights, WrapperKind

#: The reference decodes greedily. The chat template writes the BOS: a tokenizer that adds another
#: one would double it, and MLflow would leave it out of the usage.
TRANSFORMERS_CONFIG = {"max_new_tokens": 256, "do_sample": False, "add_special_tokens": False}


class LogRequest(Value):
    """What to log.

    Attributes:
        key: The release key.
        weights: For the transformers wrapper.
        artifact: For the ONNX wrapper.
        wrapper: The ONNX wrapper's file.
        tools: Installed versions, which become the wrappers' requirements.
        tags: Of the run.
    """

    location: MlflowLocation
    key: str
    entry: Entry
    weights: Weights
    artifact: Artifact
    wrapper: Path
    tools: dict[str, str]
    tags: dict[str, str]


class Logged(Value):
    """Both wrappers, logged in one run.

    Attributes:
        model_ids: MLflow's id of each logged model.
        descriptions: SHA-256 of the ``MLmodel`` of each.
    """

    run_id: str
    model_ids: dict[WrapperKind, str]
    descriptions: dict[WrapperKind, str]
    size_bytes: dict[WrapperKind, int]


def log(request: LogRequest) -> Logged:
    """Return the run and the logged models of ``request.key``, logging what is missing."""
    connect(request.location)
    experiment = experiment_id(request.entry.name, request.location)
    run_id = _run_id(experiment, request)
    ids: dict[WrapperKind, str] = {}
    descriptions: dict[WrapperKind, str] = {}
    sizes: dict[WrapperKind, int] = {}
    with _active(run_id):
        _remove_unfinished(experiment, run_id)
        for kind in ("onnx", "transformers"):
            report(None, f"logging the {kind} wrapper")
            model = _find(experiment, request.key, kind) or _log_wrapper(kind, request)
            ids[kind] = model.model_id
            descriptions[kind] = model.tags[MLMODEL]
            folder = request.artifact if kind == "onnx" else request.weights
            sizes[kind] = folder.stored.size_bytes
    return Logged(run_id=run_id, model_ids=ids, descriptions=descriptions, size_bytes=sizes)


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
        "onnx": ("mlflow", "onnxruntime", "onnxruntime-genai"),
        "transformers": ("mlflow", "torch", "transformers"),
    }[kind]
    return [f"{tool}=={tools[tool]}" for tool in needed]


def _run_id(experiment: str, request: LogRequest) -> str:
    import mlflow

    client = mlflow.MlflowClient()
    found = client.search_runs([experiment], f"tags.`{KEY}` = '{request.key}'", max_results=1)
    if found:
        return str(found[0].info.run_id)
    revision = request.weights.revision
    run = client.create_run(
        experiment,
        run_name=f"{revision.commit[:8]} {request.artifact.variant}",
        tags={KEY: request.key, **request.tags},
    )
    parameters = [
        mlflow.entities.Param(name, str(value)) for name, value in _parameters(request).items()
    ]
    client.log_batch(run.info.run_id, params=parameters)
    return str(run.info.run_id)


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


@contextmanager
def _active(run_id: str) -> Iterator[None]:
    import mlflow

    with mlflow.start_run(run_id=run_id):
        yield


def _find(experiment: str, key: str, kind: WrapperKind) -> Any:
    """Return the finished logged model of an earlier run with the same key."""
    import mlflow

    filters = f"tags.`{KEY}` = '{key}' AND tags.`{WRAPPER}` = '{kind}'"
    found = mlflow.search_logged_models(
        experiment_ids=[experiment], filter_string=filters, output_format="list"
    )
    whole = (model for model in found if model.status == "READY" and MLMODEL in model.tags)
    return next(whole, None)


def _remove_unfinished(experiment: str, run_id: str) -> None:
    """Delete what an interrupted log left: models of this run without our tags."""
    import mlflow

    filters = f"source_run_id = '{run_id}'"
    for model in mlflow.search_logged_models(
        experiment_ids=[experiment], filter_string=filters, output_format="list"
    ):
        if WRAPPER not in model.tags:
            mlflow.MlflowClient().delete_logged_model(model.model_id)


def _log_wrapper(kind: WrapperKind, request: LogRequest) -> Any:
    """Log one wrapper without loading its model, and tag it once it is complete."""
    import mlflow

    info = _log_onnx(request) if kind == "onnx" else _log_transformers(request)
    description = _remove_host_paths(info.model_id, kind, request)
    client = mlflow.MlflowClient()
    tags = {KEY: request.key, WRAPPER: kind, MLMODEL: description}
    client.set_logged_model_tags(info.model_id, tags | {SOURCE_NAME: "slipway"})
    return client.get_logged_model(info.model_id)


def _log_onnx(request: LogRequest) -> Any:
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.llm import CHAT_MODEL_INPUT_SCHEMA, CHAT_MODEL_OUTPUT_SCHEMA

    signatures = {
        "prompt": ModelSignature(
            Schema([ColSpec("string", "prompt")]), Schema([ColSpec("string")])
        ),
        "chat": ModelSignature(CHAT_MODEL_INPUT_SCHEMA, CHAT_MODEL_OUTPUT_SCHEMA),
    }
    contract = request.entry.wrappers.onnx
    return mlflow.pyfunc.log_model(
        name="onnx",
        python_model=str(request.wrapper),
        artifacts={"model": str(request.artifact.stored.folder)},
        signature=signatures[contract],
        pip_requirements=requirements("onnx", request.tools),
        model_config={
            "contract": contract,
            "model_name": request.entry.name,
            "max_tokens": 256,
            "temperature": 0.0,
        },
    )


def _log_transformers(request: LogRequest) -> Any:
    import mlflow

    folder = request.weights.stored.folder
    return mlflow.transformers.log_model(
        str(folder),
        name="transformers",
        task="llm/v1/chat",
        pip_requirements=requirements("transformers", request.tools),
        model_config=TRANSFORMERS_CONFIG,
        model_card=model_card(folder),
    )


def _remove_host_paths(model_id: str, kind: WrapperKind, request: LogRequest) -> str:
    """Replace the paths of this machine that MLflow writes into a logged model.

    ``MLmodel`` holds the paths that MLflow was given, the transformers flavor returns one of them
    as the model's name, and its license file names one where it finds no license online.

    Returns:
        SHA-256 of ``MLmodel`` as it is then.
    """
    import mlflow

    client = mlflow.MlflowClient()
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
