"""An ONNX artifact of one node, for tests that inspect its files without running it."""

from typing import Any

WEIGHTS_BYTES = 512


def graph() -> Any:
    """Return a graph with one node, whose weights are in ``model.onnx.data``: 8 by 16 numbers."""
    import onnx

    weights = onnx.TensorProto(name="weights", dims=(8, 16), data_type=onnx.TensorProto.FLOAT)
    refer(weights, "model.onnx.data", 0, WEIGHTS_BYTES)
    asked = onnx.helper.make_tensor_value_info("asked", onnx.TensorProto.FLOAT, ("tokens", 8))
    logits = onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ("tokens", 16))
    node = onnx.helper.make_node("MatMul", ["asked", "weights"], ["logits"], name="head")
    opsets = [onnx.helper.make_opsetid("", 22), onnx.helper.make_opsetid("com.microsoft", 1)]
    body = onnx.helper.make_graph([node], "tiny", [asked], [logits], [weights])
    return onnx.helper.make_model(body, ir_version=10, opset_imports=opsets)


def refer(tensor: Any, location: str, offset: object, length: object) -> Any:
    """Set the external data of a tensor, whether they exist or not."""
    import onnx

    tensor.ClearField("external_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def config() -> dict[str, Any]:
    """Return the configuration that the builder of onnxruntime-genai writes for the graph."""
    decoder = {
        "session_options": {"log_id": "onnxruntime-genai", "provider_options": []},
        "filename": "model.onnx",
        "head_size": 16,
        "hidden_size": 64,
        "inputs": {"input_ids": "input_ids", "past_key_names": "past_key_values.%d.key"},
        "outputs": {"logits": "logits", "present_key_names": "present.%d.key"},
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 4,
    }
    tokens = {"bos_token_id": 1, "eos_token_id": [0, 5], "pad_token_id": 0, "vocab_size": 320}
    model = {"type": "phi3", "context_length": 512, "decoder": decoder} | tokens
    return {"model": model, "search": {"max_length": 512, "top_k": 50, "temperature": 1.0}}
