"""What the ``MLmodel`` of a wrapper says of the code that MLflow executes."""

from collections.abc import Mapping
from typing import Any

from slipway.tracking import known_wrappers
from slipway.values import WrapperKind

#: The folder of an artifact in the logged model of the ONNX wrapper.
ARTIFACT = "artifacts/model"

#: By flavor, the fields that a release writes and that choose what is executed.
EXECUTED: Mapping[WrapperKind, Mapping[str, Mapping[str, Any]]] = {
    "onnx": {
        "python_function": {
            "loader_module": "mlflow.pyfunc.loaders.code_model",
            "model_code_path": known_wrappers.FILE,
            "streamable": False,
        }
    },
    "transformers": {
        "python_function": {"loader_module": "mlflow.transformers"},
        "transformers": {
            "components": ["tokenizer"],
            "inference_task": "llm/v1/chat",
            "instance_type": "TextGenerationPipeline",
            "model_binary": "model",
            "task": "text-generation",
        },
    },
}

#: Fields that name versions and types; none of them chooses code.
VARYING: Mapping[str, frozenset[str]] = {
    "python_function": frozenset({"cloudpickle_version", "env", "python_version"}),
    "transformers": frozenset(
        {"pipeline_model_type", "tokenizer_type", "torch_dtype", "transformers_version"}
    ),
}

#: Fields that a release fills; they choose no code either.
_FILLED: Mapping[str, frozenset[str]] = {
    "python_function": frozenset({"artifacts", "config"}),
    "transformers": frozenset({"framework", "source_model_name"}),
}


def fault(kind: WrapperKind, flavors: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return what no release writes; None if MLflow executes this wrapper, from this folder.

    Args:
        kind: Which wrapper it is taken for.
        flavors: Those of an ``MLmodel``. A field that is not among those above or null is a fault.
    """
    if flavors.keys() != EXECUTED[kind].keys():
        return f"has the flavors {', '.join(sorted(flavors))}"
    for flavor, expected in EXECUTED[kind].items():
        for name, value in flavors[flavor].items():
            free = name in VARYING[flavor] | _FILLED[flavor] or value is None
            if not free and value != expected.get(name, object()):
                return f"names {name} {value!r:.80}"
        if missing := expected.keys() - flavors[flavor].keys() - {"streamable"}:
            return f"lacks {', '.join(sorted(missing))}"
    artifacts = flavors["python_function"].get("artifacts") or {}
    paths = {name: each["path"] for name, each in artifacts.items()}
    known = {"model": ARTIFACT} if kind == "onnx" else {}
    return None if paths == known else f"names artifacts {paths}"
