"""Logs wrappers of several folders and asks them as the smoke test does, in one child process."""

import shutil
import tempfile
from collections.abc import Mapping
from contextlib import chdir
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from slipway.checks import ask
from slipway.system.store import manifest, sha256
from slipway.tracking.location import MlflowLocation, connect, experiment_id
from slipway.tracking.log_models import TRANSFORMERS_CONFIG
from slipway.tracking.signatures import signature
from slipway.tracking.tags import CODE, CURRENT_FORMAT, DIGEST, FORMAT, MLMODEL
from slipway.tracking.verified_copy import payload_digest
from slipway.values import Answers, Contract, LoggedWrapper, Prompt, Value

WRAPPER = Path(__file__).parents[2] / "wrappers" / "onnx_genai.py"


class Subject(Value):
    """One wrapper to ask.

    Attributes:
        kind: ``plain`` is the transformers wrapper as MLflow logs it without our settings.
        contract: What it speaks.
        folder: An ONNX folder, or a checkpoint.
        wrapper: The code of an ``onnx`` one.
        more: What it does after the prompts.
    """

    kind: Literal["onnx", "transformers", "plain"]
    contract: Contract
    folder: Path
    wrapper: Path = WRAPPER
    more: ask.FurtherQuestions = ask.FurtherQuestions()


class ChildRequest(Value):
    """Whom to ask what.

    Attributes:
        place: A registry of the test's own.
        prompts: The questions.
        subjects: By a name of the test's own.
    """

    place: MlflowLocation
    prompts: tuple[Prompt, ...]
    subjects: Mapping[str, Subject]


def ask_all(errand: ChildRequest) -> dict[str, Answers]:
    """Log every subject, and return its answers."""
    return {
        name: ask.ask(
            ask.AskRequest(
                folder=_folder(wrapper),
                wrapper=wrapper,
                prompts=errand.prompts,
                **dict(errand.subjects[name].more),
            )
        )
        for name, wrapper in register_all(errand).items()
    }


def register_all(errand: ChildRequest) -> dict[str, LoggedWrapper]:
    """Log every subject; what precedes a colon in its name is the registered model."""
    import mlflow

    experiment = experiment_id(connect(errand.place), "parity", errand.place)
    mlflow.set_experiment(experiment_id=experiment)
    return {name: _register(name.partition(":")[0], each) for name, each in errand.subjects.items()}


def _register(name: str, subject: Subject) -> LoggedWrapper:
    import mlflow

    info = _log_onnx(subject) if subject.kind == "onnx" else _log_transformers(subject)
    wrapper = LoggedWrapper(
        kind="onnx" if subject.kind == "onnx" else "transformers",
        contract=subject.contract,
        model_id=info.model_id,
        name=name,
        version=int(mlflow.register_model(info.model_uri, name).version),
        size_bytes=1,
    )
    for tag, value in _tags(wrapper, subject).items():
        mlflow.MlflowClient().set_model_version_tag(name, str(wrapper.version), tag, value)
    return wrapper


def _folder(wrapper: LoggedWrapper) -> Path:
    """Return the folder in which MLflow keeps a wrapper's files."""
    import mlflow

    return Path(mlflow.MlflowClient().get_logged_model(wrapper.model_id).artifact_location)


def _tags(wrapper: LoggedWrapper, subject: Subject) -> dict[str, str]:
    """Return the tags of a release; as in one, the description names no path of this machine."""
    folder = _folder(wrapper)
    description = folder / "MLmodel"
    text = description.read_text(encoding="utf-8")
    description.write_text(text.replace(str(subject.wrapper), subject.wrapper.name), "utf-8")
    return {
        FORMAT: CURRENT_FORMAT,
        DIGEST: payload_digest(wrapper.kind, manifest(folder)),
        CODE: sha256(subject.wrapper),
        MLMODEL: sha256(description),
    }


def _log_onnx(subject: Subject) -> Any:
    import mlflow

    with tempfile.TemporaryDirectory() as room:
        folder = shutil.copytree(subject.folder, Path(room) / "model")  # as the store calls it
        return mlflow.pyfunc.log_model(
            name="onnx",
            python_model=str(subject.wrapper),
            artifacts={"model": str(folder)},
            signature=signature(subject.contract),
            pip_requirements=[f"mlflow=={version('mlflow')}"],
            model_config={"contract": subject.contract, "max_tokens": 256, "temperature": 0.0},
        )


def _log_transformers(subject: Subject) -> Any:
    import mlflow

    plain = {"max_new_tokens": 256, "do_sample": False}
    with chdir(subject.folder.parent):  # the reference calls itself by the path that is given here
        return mlflow.transformers.log_model(
            subject.folder.name,
            name="transformers",
            task="llm/v1/chat",
            pip_requirements=[f"mlflow=={version('mlflow')}"],
            model_config=TRANSFORMERS_CONFIG if subject.kind == "transformers" else plain,
        )
