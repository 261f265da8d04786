"""How a loaded wrapper renders a conversation, read from the wrapper itself.

Renderings that cannot be read are left out and not guessed; the wrappers are then not comparable.
"""

from collections.abc import Callable, Iterator
from typing import Any

from slipway.values import Prompt, Rendering, WrapperKind

Messages = list[dict[str, Any]]
Render = Callable[[Messages], tuple[str, list[int]]]


def renderings(model: Any, kind: WrapperKind, prompts: tuple[Prompt, ...]) -> tuple[Rendering, ...]:
    """Return the prompts that the wrapper passes to its model.

    Args:
        model: A wrapper as MLflow loads it.
        kind: The wrapper's kind.
        prompts: The conversations.

    Returns:
        In the order of ``prompts``, without those that the wrapper refuses to render.
    """
    render = _renderer(model, kind)
    return () if render is None else tuple(_rendered(render, prompts))


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


def _renderer(model: Any, kind: WrapperKind) -> Render | None:
    try:
        return _onnx(model) if kind == "onnx" else _transformers(model)
    except (AttributeError, NotImplementedError):
        return None


def _rendered(render: Render, prompts: tuple[Prompt, ...]) -> Iterator[Rendering]:
    for prompt in prompts:
        try:
            text, token_ids = render([message.model_dump() for message in prompt.messages])
        except Exception as error:  # noqa: BLE001 - a template may raise anything
            print(f"{prompt.id} cannot be rendered: {error}", flush=True)  # noqa: T201 - to the log
            continue
        yield Rendering(prompt_id=prompt.id, text=text, token_ids=tuple(map(int, token_ids)))


def _onnx(model: Any) -> Render:
    wrapper = model.unwrap_python_model()
    as_text, as_tokens = wrapper.render, wrapper.encode

    def render(messages: Messages) -> tuple[str, list[int]]:
        text = as_text(messages)
        return text, as_tokens(text).tolist()

    return render


def _transformers(model: Any) -> Render:
    """Render as MLflow 3.17's transformers flavor does: the template first, then the pipeline.

    The pipeline reads its settings from the logged model configuration, and the tokenizer adds its
    special tokens unless that forbids it: see ``predict`` in ``mlflow/transformers/__init__.py``
    and ``preprocess`` in ``transformers/pipelines/text_generation.py``.
    """
    from mlflow.transformers.llm_inference_utils import convert_messages_to_prompt

    pipeline = model.get_raw_model()
    settings, _, _ = pipeline._sanitize_parameters(**model.model_config)  # noqa: SLF001
    settings = pipeline._preprocess_params | settings  # noqa: SLF001 - as its __call__ does

    def render(messages: Messages) -> tuple[str, list[int]]:
        text = convert_messages_to_prompt(messages, pipeline.tokenizer)
        return text, pipeline.preprocess(text, **settings)["input_ids"][0].tolist()

    return render
