"""Samples answers of a loaded wrapper at the temperature that its authors recommend.

Greedy answers say nothing about sampling: a model that always ends when it decodes greedily may go
on without end at a temperature. So the source and the candidate answer the same few prompts several
times, with fixed seeds. The ONNX wrapper is asked as a server asks it. The source generates all
samples of a prompt as one batch, which transformers can do and takes a third of the time.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slipway.checks import answer_table
from slipway.checks.generation import generate
from slipway.checks.renderings import render_with_transformers
from slipway.evaluation.seeds import fix_seed
from slipway.system.process import describe
from slipway.values import (
    Answers,
    DeclaredSampling,
    LoggedWrapper,
    Prompt,
    SampledAnswer,
    Samples,
)

#: How many prompts are sampled, and how often each. docs/gates.md has the power of their product.
PROMPTS, SAMPLES = 3, 4
#: Several times the length of the answers that are chosen, so that one without end shows.
MAX_TOKENS = 64
#: An answer of a word or two says little about when a model ends.
LEAST_TOKENS = 6


def declared(folder: Path) -> DeclaredSampling | None:
    """Return the sampling that a checkpoint's ``generation_config.json`` declares.

    Args:
        folder: Of the checkpoint.

    Returns:
        None if it declares none: without ``do_sample`` transformers decodes greedily, whatever
        temperature the file has.
    """
    file = folder / "generation_config.json"
    config = json.loads(file.read_bytes()) if file.is_file() else {}
    if config.get("do_sample") is not True or config.get("temperature") == 0:
        return None
    fields = DeclaredSampling.model_fields.keys() & config.keys()
    return DeclaredSampling(**{name: config[name] for name in fields if config[name] is not None})


def soonest(answers: Answers, prompts: tuple[Prompt, ...]) -> tuple[str, ...]:
    """Return the ids of the prompts whose greedy answers end soonest, and are no mere word.

    They cost least, and a source that ends them greedily ends nearly all of their samples too, so
    that a candidate that does not end stands out.
    """

    def cost(row: answer_table.Row) -> tuple[bool, bool, int]:
        tokens = int(row["completion_tokens"] or MAX_TOKENS)
        return row["finish_reason"] != "stop", tokens < LEAST_TOKENS, tokens

    asked = tuple(prompt for prompt in prompts if not prompt.stop)
    known = answers.model_copy(
        update={"predictions": tuple(each for each in answers.predictions if not each.error)}
    )
    rows = answer_table.rows(known, asked)[: len(asked)]
    return tuple(str(row["prompt_id"]) for row in sorted(rows, key=cost)[:PROMPTS])


def draw(
    model: Any,
    wrapper: LoggedWrapper,
    sampling: DeclaredSampling,
    prompts: tuple[Prompt, ...],
) -> Samples:
    """Return ``SAMPLES`` answers to each prompt.

    Args:
        model: A wrapper as MLflow loads it.
        wrapper: Its kind and its contract.
        sampling: How tokens are chosen.
        prompts: What to ask.

    Returns:
        The answers, or the error that the wrapper raised.
    """
    sample = _onnx if wrapper.kind == "onnx" else _transformers
    nothing = Samples(
        sampling=sampling, prompt_ids=tuple(prompt.id for prompt in prompts), answers=()
    )
    try:
        answers = tuple(sample(model, wrapper, sampling, prompts))
    except Exception as raised:  # noqa: BLE001 - a wrapper may raise anything; the report names it
        return nothing.model_copy(update={"error": describe(raised)})
    return nothing.model_copy(update={"answers": answers})


def _onnx(
    model: Any, wrapper: LoggedWrapper, sampling: DeclaredSampling, prompts: tuple[Prompt, ...]
) -> Iterator[SampledAnswer]:
    answer = _completion if wrapper.contract == "chat" else _generation
    for number, prompt in enumerate(prompts):
        for seed in range(number * SAMPLES, (number + 1) * SAMPLES):
            fields = sampling.model_dump() | {"max_tokens": MAX_TOKENS, "seed": seed}
            yield answer(model, prompt, fields)


def _completion(model: Any, prompt: Prompt, fields: dict[str, Any]) -> SampledAnswer:
    import pandas as pd

    messages = [message.model_dump() for message in prompt.messages]
    (completion,) = model.predict(pd.DataFrame([{"messages": messages, **fields}]))
    choice = completion["choices"][0]
    return SampledAnswer(
        prompt_id=prompt.id,
        text=choice["message"]["content"],
        stopped=choice["finish_reason"] == "stop",
        tokens=completion["usage"]["completion_tokens"],
    )


def _generation(model: Any, prompt: Prompt, fields: dict[str, Any]) -> SampledAnswer:
    """Ask as a server does: the ``prompt`` contract itself has no field but the prompt."""
    messages = [message.model_dump() for message in prompt.messages]
    answer = model.unwrap_python_model().generate(messages, **fields)
    return SampledAnswer(
        prompt_id=prompt.id,
        text=answer.text,
        stopped=answer.finish_reason == "stop",
        tokens=answer.completion_tokens,
    )


def _transformers(
    model: Any, _wrapper: LoggedWrapper, sampling: DeclaredSampling, prompts: tuple[Prompt, ...]
) -> Iterator[SampledAnswer]:
    pipeline = model.get_raw_model()
    render, _ = render_with_transformers(model)
    how = {"do_sample": True, "num_return_sequences": SAMPLES, "max_new_tokens": MAX_TOKENS}
    for number, prompt in enumerate(prompts):
        text = render([message.model_dump() for message in prompt.messages])
        fix_seed(number)
        for answer in generate(pipeline, text, **how, **sampling.model_dump()):
            yield SampledAnswer(
                prompt_id=prompt.id,
                text=answer.text,
                stopped=answer.stopped,
                tokens=answer.tokens,
            )
