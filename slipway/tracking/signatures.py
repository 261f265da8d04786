"""What MLflow lets through to the ONNX wrapper, by its contract.

MLflow drops a field that the signature lacks, with a warning in the log. So the signature of the
contract ``chat`` has every field that the wrapper knows, and the wrapper refuses what it cannot do.
The types are open: the wrapper checks the values and names the field.
"""

from typing import Any

from slipway.values import Contract
from slipway.values.request_fields import NEUTRAL

#: Fields of a chat request that the wrapper acts on, besides ``messages``.
SUPPORTED = ("max_tokens", "n", "seed", "stop", "temperature", "top_k", "top_p")


def signature(contract: Contract) -> Any:
    """Return MLflow's ``ModelSignature``."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.llm import CHAT_MODEL_OUTPUT_SCHEMA
    from mlflow.types.schema import AnyType, Array, Map

    if contract == "prompt":
        return ModelSignature(Schema([ColSpec("string", "prompt")]), Schema([ColSpec("string")]))
    fields = dict.fromkeys((*SUPPORTED, *NEUTRAL))
    optional = [ColSpec(AnyType(), field, required=False) for field in fields]
    messages = ColSpec(Array(Map(AnyType())), "messages")
    return ModelSignature(Schema([messages, *optional]), CHAT_MODEL_OUTPUT_SCHEMA)
