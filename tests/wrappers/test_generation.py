"""What ``generate`` and ``stream`` promise, against a model that runs."""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import onnxruntime_genai as og
import psutil
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.support.tiny_phi3 import BEGIN, CONTEXT_LENGTH, CONVERSATIONS, build_onnx

JOKE, HELLO, CAPITAL = (
    "Tell me a joke.",
    "Say hello in three languages.",
    "What is the capital of Spain?",
)
UNTAUGHT = "Where does the harbour end?"
LONG = "a b " * 100  # more tokens than one slice of the prompt holds


def asked(prompt: str) -> list[dict[str, str]]:
    """Return ``prompt`` as a conversation."""
    return [{"role": "user", "content": prompt}]


def reference_ids(checkpoint: Path, prompt_ids: list[int], count: int) -> list[int]:
    """Return the greedy tokens of transformers."""
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    output = model.generate(torch.tensor([prompt_ids]), max_new_tokens=count, do_sample=False)
    return [int(token_id) for token_id in output[0][len(prompt_ids) :]]


def onnx_ids(model: Any, prompt_ids: list[int], count: int) -> list[int]:
    """Return the greedy tokens of the runtime, without the wrapper's own loop."""
    params = og.GeneratorParams(model.runtime)
    params.set_search_options(max_length=len(prompt_ids) + count, do_sample=False)
    generator = og.Generator(model.runtime, params)
    generator.append_tokens(prompt_ids)
    token_ids = []
    while not generator.is_done():
        generator.generate_next_token()
        token_ids.append(int(generator.get_next_tokens()[0]))
    return token_ids


def shown(checkpoint: Path, token_ids: list[int]) -> str:
    """Return the text of ``token_ids`` in transformers, without a character that is cut."""
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    return str(tokenizer.decode(token_ids, skip_special_tokens=True)).rstrip("\ufffd")


def changed_copy(folder: Path, target: Path, name: str, change: Callable[[Any], None]) -> Path:
    """Return a copy of ``folder`` in which ``change`` edited the JSON file ``name``."""
    shutil.copytree(folder, target)
    content = json.loads((target / name).read_text(encoding="utf-8"))
    change(content)
    (target / name).write_text(json.dumps(content), encoding="utf-8")
    return target


@pytest.mark.parametrize("prompt", [*CONVERSATIONS, UNTAUGHT, LONG])
def test_greedy_tokens_equal_those_of_transformers(
    model: Any, checkpoint: Path, prompt: str
) -> None:
    """The fp32 build and the original choose the same tokens, also after a prompt in slices."""
    prompt_ids = model.encode(model.render(asked(prompt)))
    expected = reference_ids(checkpoint, prompt_ids, 40)
    answer = model.generate(prompt, max_tokens=40)

    assert expected == onnx_ids(model, prompt_ids, 40)
    assert len(expected) == answer.completion_tokens
    assert shown(checkpoint, expected) == answer.text


@pytest.mark.parametrize("prompt", CONVERSATIONS)
def test_a_prompt_without_markup_is_asked_as_one_user_message(model: Any, prompt: str) -> None:
    """A plain text, the same text in markup, and the same conversation get the same answer."""
    answer = model.generate(prompt)

    assert CONVERSATIONS[prompt] == answer.text
    assert answer == model.generate(f"<|user|>\n{prompt}<|end|>\n<|assistant|>\n")
    assert answer == model.generate(asked(prompt))


def test_an_empty_prompt_is_answered_too(model: Any) -> None:
    """The markup around nothing still is a prompt."""
    answer = model.generate("", max_tokens=4)

    assert len(model.encode(model.render(asked("")))) == answer.prompt_tokens
    assert 1 <= answer.completion_tokens <= 4


def test_the_end_of_text_token_ends_an_answer_with_stop(model: Any) -> None:
    """The last of the 15 tokens is the end-of-turn token: counted, but not shown."""
    answer = model.generate(CAPITAL)

    assert answer.finish_reason == "stop"
    assert len(model.encode(CONVERSATIONS[CAPITAL])) + 1 == answer.completion_tokens
    assert len(model.encode(model.render(asked(CAPITAL)))) == answer.prompt_tokens


def test_max_tokens_ends_an_answer_with_length(model: Any) -> None:
    """One token less than the answer needs is a cut, exactly as many are not."""
    whole = model.generate(CAPITAL)
    cut = model.generate(CAPITAL, max_tokens=whole.completion_tokens - 1)
    exact = model.generate(CAPITAL, max_tokens=whole.completion_tokens)

    assert ("length", whole.completion_tokens - 1) == (cut.finish_reason, cut.completion_tokens)
    assert exact == whole


def test_the_context_ends_an_answer_with_length(model: Any) -> None:
    """A prompt that leaves six tokens of the context gets six, whatever was asked for."""
    answer = model.generate("a " * 250, max_tokens=100)

    assert answer.finish_reason == "length"
    assert answer.prompt_tokens + answer.completion_tokens == CONTEXT_LENGTH
    assert answer.completion_tokens == 6


def test_a_prompt_that_fills_the_context_is_refused_with_both_sizes(model: Any) -> None:
    """The refusal comes at once, before the first piece, and names what does not fit into what."""
    fitting = model.generate("<|end|>" * (CONTEXT_LENGTH - 1))

    assert fitting.completion_tokens == 1
    with pytest.raises(
        ValueError,
        match=r"context length is 512 tokens, and the prompt has 512; shorten",
    ):
        model.stream("<|end|>" * CONTEXT_LENGTH)


def test_model_configuration_gives_the_defaults(load: Any, onnx_folder: Path) -> None:
    """What a request does not name comes from the model configuration; what it names wins."""
    model = load(onnx_folder, max_tokens=3)

    assert model.generate(JOKE).completion_tokens == 3
    assert model.generate(JOKE, max_tokens=None).completion_tokens == 3
    assert model.generate(JOKE, max_tokens=5).completion_tokens == 5


def test_pieces_add_up_to_the_answer(model: Any) -> None:
    """Only the last piece has a finish reason, and its counts are those of the whole."""
    *first, last = model.stream(JOKE)
    whole = model.generate(JOKE)

    assert whole.text == "".join(piece.text for piece in [*first, last])
    assert {piece.finish_reason for piece in first} == {None}
    assert [whole.finish_reason, whole.completion_tokens] == [
        last.finish_reason,
        last.completion_tokens,
    ]
    assert len(first) > 10


def test_characters_of_several_tokens_are_never_shown_in_part(model: Any) -> None:
    """An emoji of four tokens and a Chinese character of three come as one piece each."""
    pieces = [piece.text for piece in model.stream(HELLO)]

    assert "".join(pieces) == CONVERSATIONS[HELLO]
    assert {"ü", "你", "好", "🌍"} <= set(pieces)
    assert not any("\ufffd" in piece for piece in pieces)


def test_a_cut_within_a_character_leaves_no_broken_character(model: Any) -> None:
    """However many tokens there may be, what is shown is a beginning of the whole answer."""
    for max_tokens in range(1, 30):
        shown = model.generate(HELLO, max_tokens=max_tokens).text
        assert CONVERSATIONS[HELLO].startswith(shown)


def test_text_that_the_runtime_would_cut_is_refused(model: Any) -> None:
    """A NUL would end the prompt silently; a lone surrogate has no bytes at all."""
    with pytest.raises(ValueError, match="NUL"):
        model.stream("<|user|>\nHi\0there<|end|>")
    with pytest.raises(ValueError, match="surrogates not allowed"):
        model.stream("Hi \ud83d")


def test_one_model_answers_several_threads_at_once(model: Any) -> None:
    """Every request has a generator of its own, so answers do not mix."""
    prompts = list(CONVERSATIONS) * 4
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(model.generate, prompts))

    assert [CONVERSATIONS[prompt] for prompt in prompts] == [answer.text for answer in answers]


@pytest.mark.parametrize("name", ["genai_config.json", "model.onnx", "model.onnx.data"])
def test_a_folder_that_cannot_be_loaded_does_not_say_where_it_is(
    load: Any, onnx_folder: Path, tmp_path: Path, name: str
) -> None:
    """The runtime's own messages hold the path of the folder; ours do not."""
    folder = tmp_path / "damaged"
    shutil.copytree(onnx_folder, folder)
    (folder / name).unlink()

    with pytest.raises(RuntimeError, match=r"^the model's folder cannot be loaded: ") as caught:
        load(folder)
    assert str(tmp_path) not in str(caught.value)


def test_the_cache_has_the_size_of_the_request(
    load: Any, onnx_folder: Path, tmp_path: Path
) -> None:
    """A context of 300 000 tokens needs 300 MB of cache here; a short answer must not take it."""

    def widen(config: dict[str, Any]) -> None:
        config["model"]["context_length"] = config["search"]["max_length"] = 300_000

    folder = changed_copy(onnx_folder, tmp_path / "wide", "genai_config.json", widen)
    model = load(folder)
    before_bytes = psutil.Process().memory_info().rss
    pieces = model.stream(CAPITAL)
    next(pieces)
    grown_bytes = psutil.Process().memory_info().rss - before_bytes

    assert grown_bytes < 60_000_000


def test_a_sliding_window_model_answers_short_and_long(
    load: Any, checkpoint: Path, tmp_path: Path
) -> None:
    """Its cache may not be smaller than its window, so the answer's end is counted instead."""

    def slide(config: dict[str, Any]) -> None:
        config |= {"sliding_window": 128, "layer_types": ["sliding_attention"] * 2}

    source = changed_copy(checkpoint, tmp_path / "source", "config.json", slide)
    model = load(build_onnx(source, tmp_path / "onnx"))
    prompt_ids = model.encode(model.render(asked(LONG)))
    expected = reference_ids(source, prompt_ids, 20)
    short, long = model.generate(CAPITAL, max_tokens=3), model.generate(LONG, max_tokens=20)

    assert (short.finish_reason, short.completion_tokens) == ("length", 3)
    assert len(expected) == long.completion_tokens
    assert shown(source, expected) == long.text


def test_a_template_that_writes_bos_does_not_double_it(
    load: Any, checkpoint: Path, onnx_folder: Path, tmp_path: Path
) -> None:
    """The tokenizer adds BOS by itself here, and the template writes it: one remains."""
    bos = {"SpecialToken": {"id": "<s>", "type_id": 0}}

    def add_bos(tokenizer: dict[str, Any]) -> None:
        post_processor = tokenizer["post_processor"]
        post_processor["single"].insert(0, bos)
        post_processor["special_tokens"]["<s>"] = {"id": "<s>", "ids": [BEGIN], "tokens": ["<s>"]}

    folder = changed_copy(onnx_folder, tmp_path / "bos", "tokenizer.json", add_bos)
    template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    (folder / "chat_template.jinja").write_text("{{ bos_token }}" + template, encoding="utf-8")
    model = load(folder)
    reference = AutoTokenizer.from_pretrained(folder)
    expected = reference.apply_chat_template(
        asked(CAPITAL), add_generation_prompt=True, return_dict=False
    )
    token_ids = model.encode(model.render(asked(CAPITAL)))

    assert reference.encode("Hi")[0] == BEGIN
    assert expected == token_ids
    assert token_ids.count(BEGIN) == 1
