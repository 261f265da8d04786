"""Asks a loaded wrapper for documents and tool calls, greedily.

The ONNX wrapper has no field for tools. So the source's chat template renders the questions with
their tools, and both models read the same text.
"""

from collections.abc import Callable
from typing import Any

from slipway.checks.generation import generate
from slipway.system.process import describe
from slipway.values import StructuredAnswer, StructuredPrompt, StructuredRequest, WrapperKind

NO_TOOLS = "the source's chat template renders no tools"

Answer = Callable[[StructuredPrompt], StructuredAnswer]


def ask(model: Any, kind: WrapperKind, request: StructuredRequest) -> tuple[StructuredAnswer, ...]:
    """Return the answers to structured questions.

    Args:
        model: A wrapper as MLflow loads it.
        kind: The wrapper's kind.
        request: The questions, and for the ONNX wrapper what the source made of them.

    Returns:
        In the order of the questions; one that raised has its error.
    """

    def onnx(prompt: StructuredPrompt) -> StructuredAnswer:
        return _onnx(model, prompt, request.rendered)

    def transformers(prompt: StructuredPrompt) -> StructuredAnswer:
        return _transformers(model.get_raw_model(), prompt)

    answer = onnx if kind == "onnx" else transformers
    return tuple(_answered(answer, prompt) for prompt in request.prompts)


def _answered(answer: Answer, prompt: StructuredPrompt) -> StructuredAnswer:
    try:
        return answer(prompt)
    except Exception as raised:  # noqa: BLE001 - a wrapper may raise anything; the report names it
        return StructuredAnswer(prompt_id=prompt.id, error=describe(raised))


def _onnx(model: Any, prompt: StructuredPrompt, rendered: dict[str, str]) -> StructuredAnswer:
    if prompt.tools and prompt.id not in rendered:
        return StructuredAnswer(prompt_id=prompt.id, error=NO_TOOLS)
    asked: Any = rendered[prompt.id] if prompt.tools else _messages(prompt)
    wrapper = model.unwrap_python_model()
    answer = wrapper.generate(asked, temperature=0.0, max_tokens=prompt.max_tokens)
    return StructuredAnswer(prompt_id=prompt.id, text=answer.text)


def _transformers(pipeline: Any, prompt: StructuredPrompt) -> StructuredAnswer:
    rendered = _rendered(pipeline, prompt, [*prompt.tools])
    if prompt.tools and rendered == _rendered(pipeline, prompt, []):
        return StructuredAnswer(prompt_id=prompt.id, error=NO_TOOLS)
    how = {"do_sample": False, "max_new_tokens": prompt.max_tokens}
    (answer,) = generate(pipeline, rendered, **how)
    shown = rendered if prompt.tools else None
    return StructuredAnswer(prompt_id=prompt.id, rendered=shown, text=answer.text)


def _rendered(pipeline: Any, prompt: StructuredPrompt, tools: list[dict[str, Any]]) -> str:
    return str(
        pipeline.tokenizer.apply_chat_template(
            _messages(prompt), tools=tools or None, tokenize=False, add_generation_prompt=True
        )
    )


def _messages(prompt: StructuredPrompt) -> list[dict[str, Any]]:
    return [message.model_dump() for message in prompt.messages]
