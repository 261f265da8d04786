"""Answers of a healthy wrapper, for tests that break one at a time."""

import json
from typing import Any

from slipway.values import Answers, Contract, Prediction, Prompt, PromptMessage, WrapperKind

TEXT = "The ferry leaves at nine."


def prompt(name: str, **fields: Any) -> Prompt:
    """Return a short prompt."""
    question = PromptMessage(role="user", content="When does the next ferry leave?")
    return Prompt(**{"id": name, "purpose": "a test", "messages": (question,), **fields})


def completion(output: str = TEXT, *, tokens: int = 7, reason: str = "stop") -> dict[str, Any]:
    """Return a chat completion of ``tokens`` new tokens."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": "example/tiny-phi3",
        "choices": [
            {
                "index": 0,
                "finish_reason": reason,
                "message": {"role": "assistant", "content": output},
            }
        ],
        "usage": {"prompt_tokens": 12, "completion_tokens": tokens, "total_tokens": 12 + tokens},
    }


def predicted(name: str, answer: Any, **fields: Any) -> Prediction:
    """Return ``answer`` as the prediction for a prompt."""
    response = json.dumps(answer, ensure_ascii=False)
    return Prediction(**{"prompt_id": name, "response": response, "latency_ms": 80.0, **fields})


def answers(
    *predictions: Prediction, kind: WrapperKind = "onnx", contract: Contract = "chat"
) -> Answers:
    """Return predictions as the answers of one wrapper."""
    return Answers(
        kind=kind,
        contract=contract,
        predictions=predictions,
        load_seconds=1.5,
        peak_memory_bytes=300_000_000,
        tokens_per_second=40.0,
    )


PROMPTS = (
    prompt("ferry", max_tokens=20),
    prompt("stops", stop=("ten",)),
    prompt("twice", repeat=True),
    *(prompt(f"filler-{number}") for number in range(4)),
)


def healthy(*planted: Prediction, kind: WrapperKind = "onnx") -> Answers:
    """Answer every prompt of the chat contract well, except for the ``planted`` ones."""
    good = {each.id: predicted(each.id, completion()) for each in PROMPTS}
    again = completion() | {"id": "chatcmpl-2"}
    good["twice"] = predicted("twice", completion(), repeated=json.dumps(again))
    return answers(*(good | {each.prompt_id: each for each in planted}).values(), kind=kind)


def texts(*planted: Prediction) -> Answers:
    """Answer every prompt of the prompt contract well, except for the ``planted`` ones."""
    good = {each.id: predicted(each.id, TEXT) for each in PROMPTS}
    good["twice"] = predicted("twice", TEXT, repeated=json.dumps(TEXT))
    by_id = {each.prompt_id: each for each in planted}
    return answers(*(good | by_id).values(), contract="prompt")
