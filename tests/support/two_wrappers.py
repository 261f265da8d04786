"""Logs wrappers of several folders and asks them as the smoke test does, in one child process."""

from collections.abc import Mapping
from contextlib import chdir
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from slipway.checks import ask
from slipway.tracking.location import MlflowLocation, connect, experiment_id
from slipway.tracking.log_models import TRANSFORMERS_CONFIG
from slipway.values import Answers, Contract, LoggedWrapper, Prompt, Value

WRAPPER = Path(__file__).parents[2] / "wrappers" / "onnx_genai.py"


class Subject(Value):
    """One wrapper to ask.

    Attributes:
        kind: ``plain`` is the transformers wrapper as MLflow logs it without our settings.
        contract: What it speaks.
        folder: An ONNX folder, or a checkpoint.
        wrapper: The code of an ``onnx`` one.
    """

    kind: Literal["onnx", "transformers", "plain"]
    contract: Contract
    folder: Path
    wrapper: Path = WRAPPER


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
            ask.AskRequest(tracking_uri=errand.place.uri, wrapper=wrapper, prompts=errand.prompts)
        )
        for name, wrapper in register_all(errand).items()
    }


def register_all(errand: ChildRequest) -> dict[str, LoggedWrapper]:
    """Log every subject; what precedes a colon in its name is the registered model."""
    import mlflow

    connect(errand.place)
    mlflow.set_experiment(experiment_id=experiment_id("parity", errand.place))
    return {name: _register(name.partition(":")[0], each) for name, each in errand.subjects.items()}


def _register(name: str, subject: Subject) -> LoggedWrapper:
    import mlflow

    info = _log_onnx(subject) if subject.kind == "onnx" else _log_transformers(subject)
    return LoggedWrapper(
        kind="onnx" if subject.kind == "onnx" else "transformers",
        contract=subject.contract,
        model_id=info.model_id,
        name=name,
        version=int(mlflow.register_model(info.model_uri, name).version),
        size_bytes=1,
    )


def _log_onnx(subject: Subject) -> Any:
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.llm import CHAT_MODEL_INPUT_SCHEMA, CHAT_MODEL_OUTPUT_SCHEMA

    text = ModelSignature(Schema([ColSpec("string", "prompt")]), Schema([ColSpec("string")]))
    chat = ModelSignature(CHAT_MODEL_INPUT_SCHEMA, CHAT_MODEL_OUTPUT_SCHEMA)
    return mlflow.pyfunc.log_model(
        name="onnx",
        python_model=str(subject.wrapper),
        artifacts={"model": str(subject.folder)},
        signature=text if subject.contract == "prompt" else chat,
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
