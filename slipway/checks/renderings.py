"""How a loaded wrapper renders a conversation, read from the wrapper itself.

Renderings that cannot be read are left out and not guessed; the wrappers are then not comparable.
"""

from collections.abc import Callable, Iterator
from typing import Any

from slipway.checks.conversations import Conversation, conversations
from slipway.values import Prompt, Rendering, WrapperKind

Messages = list[dict[str, Any]]
Render = Callable[[Messages], str]
Encode = Callable[[str], list[int]]


def askable(model: Any, kind: WrapperKind, prompts: tuple[Prompt, ...]) -> tuple[Prompt, ...]:
    """Return the prompts as the wrapper takes them.

    Some templates decline a system message, and such a model is asked without it.

    Args:
        model: A wrapper as MLflow loads it.
        kind: The wrapper's kind.
        prompts: The conversations.

    Returns:
        Each prompt, without its system messages if only then the wrapper renders it.
    """
    reader = _reader(model, kind)
    if reader is None:
        return prompts
    return tuple(_askable(reader[0], prompt) for prompt in prompts)


def renderings(model: Any, kind: WrapperKind, prompts: tuple[Prompt, ...]) -> tuple[Rendering, ...]:
    """Return the prompts that the wrapper passes to its model.

    Args:
        model: A wrapper as MLflow loads it.
        kind: The wrapper's kind.
        prompts: The conversations.

    Returns:
        In the order of ``prompts``, without those that the wrapper refuses to render.
    """
    reader = _reader(model, kind)
    return () if reader is None else tuple(_renderings(*reader, prompts))


def generated(model: Any, kind: WrapperKind) -> tuple[str | None, ...]:
    """Return the text of every generated conversation, None for one that cannot be rendered.

    Args:
        model: A wrapper as MLflow loads it.
        kind: The wrapper's kind.

    Returns:
        In the order of ``conversations``; empty if the wrapper cannot be read.
    """
    reader = _reader(model, kind)
    if reader is None:
        return ()
    return tuple(_text(reader[0], each) for each in conversations())


def end_token_ids(model: Any, kind: WrapperKind) -> tuple[int, ...]:
    """Return the tokens at which the wrapper ends an answer, sorted; none if they are unknown."""
    try:
        if kind == "onnx":
            found = model.unwrap_python_model().end_token_ids
        else:
            found = model.get_raw_model().model.generation_config.eos_token_id
    except (AttributeError, NotImplementedError):
        return ()
    several = [found] if isinstance(found, int) else found or ()
    return tuple(sorted(int(token_id) for token_id in several))


def _reader(model: Any, kind: WrapperKind) -> tuple[Render, Encode] | None:
    try:
        return _onnx(model) if kind == "onnx" else render_with_transformers(model)
    except (AttributeError, NotImplementedError):
        return None


def _askable(render: Render, prompt: Prompt) -> Prompt:
    shorter = prompt.without_system()
    if shorter == prompt or _text(render, prompt.messages) is not None:
        return prompt
    return prompt if _text(render, shorter.messages) is None else shorter


def _renderings(render: Render, encode: Encode, prompts: tuple[Prompt, ...]) -> Iterator[Rendering]:
    for prompt in prompts:
        try:
            text = render(_messages(prompt.messages))
            token_ids = tuple(encode(text))
        except Exception as error:  # noqa: BLE001 - a template may raise anything
            print(f"{prompt.id} cannot be rendered: {error}", flush=True)  # noqa: T201 - to the log
            continue
        yield Rendering(prompt_id=prompt.id, text=text, token_ids=token_ids)


def _text(render: Render, conversation: Conversation) -> str | None:
    try:
        return render(_messages(conversation))
    except Exception:  # noqa: BLE001 - a template may raise anything
        return None


def _messages(conversation: Conversation) -> Messages:
    return [message.model_dump() for message in conversation]


def _onnx(model: Any) -> tuple[Render, Encode]:
    wrapper = model.unwrap_python_model()
    return wrapper.render, wrapper.encode


def render_with_transformers(model: Any) -> tuple[Render, Encode]:
    """Return what renders and encodes as MLflow 3.17's transformers flavor does.

    It renders the template first, then asks the pipeline.

    The pipeline reads its settings from the logged model configuration, and the tokenizer adds its
    special tokens unless that forbids it: see ``predict`` in ``mlflow/transformers/__init__.py``
    and ``preprocess`` in ``transformers/pipelines/text_generation.py``.
    """
    from mlflow.transformers.llm_inference_utils import convert_messages_to_prompt

    pipeline = model.get_raw_model()
    settings, _, _ = pipeline._sanitize_parameters(**model.model_config)  # noqa: SLF001
    settings = pipeline._preprocess_params | settings  # noqa: SLF001 - as its __call__ does

    def render(messages: Messages) -> str:
        return str(convert_messages_to_prompt(messages, pipeline.tokenizer))

    def encode(text: str) -> list[int]:
        return list(pipeline.preprocess(text, **settings)["input_ids"][0].tolist())

    return render, encode
