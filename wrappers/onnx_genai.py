"""Answer prompts or chats with onnxruntime-genai: MLflow logs this file as the model's code.

The file is part of the logged model, so it imports nothing of the project that logged it.
``load_context`` reads four keys of the model configuration:

- ``contract``: ``prompt`` (column ``prompt`` in, one text a row out) or ``chat`` (the fields of an
  OpenAI chat request in, one ``chat.completion`` a row out; see ``mlflow.types.llm``);
- ``model_name``: the model's name in responses;
- ``max_tokens`` and ``temperature``: defaults of requests.
"""

import json
import math
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel
from mlflow.types.llm import ChatChoice, ChatCompletionResponse, ChatMessage, TokenUsageStats
from pandas import DataFrame

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read once, when the library is imported
import onnxruntime_genai as og

Messages = Sequence[Mapping[str, Any]]

QUESTIONS = {"prompt": "prompt", "chat": "messages"}  # by contract: the field with the question
ROLES = ("system", "user", "assistant")
RANGES = {  # by field: least and most value; whole numbers if the least is an int
    "max_tokens": (1, math.inf),
    "temperature": (0.0, 2.0),
    "top_p": (0.0, 1.0),
    "top_k": (0, math.inf),
    "seed": (0, 2**31 - 1),
    "n": (1, 128),
}
SLICE_TOKENS = 256  # a native call holds the GIL; between slices other threads can run


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How tokens are chosen and when the answer ends; fields as in OpenAI's chat requests.

    ``temperature`` 0 takes the likeliest token, ``top_k`` 0 samples from all, ``stop`` is one text
    or several; without a ``seed`` every answer is sampled with another one.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float | None = None
    top_k: int | None = None
    stop: str | Sequence[str] = ()
    seed: int | None = None

    def __post_init__(self) -> None:
        for field in RANGES.keys() & self.__slots__:
            _check_range(field, getattr(self, field))
        if not all(isinstance(text, str) and text for text in self.stop_strings):
            raise ValueError(f"stop is {self.stop!r}, expected non-empty texts")

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """``stop`` as a tuple."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    def options(self, vocabulary_size: int) -> dict[str, Any]:
        """Return the runtime's search options; for None the model's default applies."""
        if 0 in (self.temperature, self.top_p):
            return {"do_sample": False}
        top_k = None if self.top_k is None else min(self.top_k, vocabulary_size)
        options = {"temperature": self.temperature, "top_p": self.top_p, "random_seed": self.seed}
        return {"do_sample": True} | _without_nulls(options | {"top_k": top_k})


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer: text to append, and the counts so far.

    Only the last piece has a ``finish_reason``: ``stop`` or ``length``. ``completion_tokens``
    counts all generated tokens, including an end-of-text token and those of a cut stop string.
    """

    text: str
    finish_reason: str | None
    prompt_tokens: int
    completion_tokens: int


class Generation(Piece):
    """A whole answer: the text of all pieces, the other fields of the last."""


class OnnxGenaiModel(PythonModel):  # type: ignore[misc]
    """A model that the builder of onnxruntime-genai wrote; all methods are for servers too."""

    def load_context(self, context: Any) -> None:
        """Load the artifact ``model``, a folder; the top of this file lists the configuration.

        Raises:
            ValueError: The model configuration has a value that cannot be used.
            RuntimeError: The folder cannot be loaded.
        """
        settings = context.model_config or {}
        self.contract = settings.get("contract", "prompt")
        if self.contract not in QUESTIONS:
            raise ValueError(f"contract is {self.contract!r}, expected one of {[*QUESTIONS]}")
        self.model_name = settings.get("model_name", "onnx-genai")
        given = {key: settings.get(key) for key in ("max_tokens", "temperature")}
        self.defaults = Sampling(**_without_nulls(given))
        self._load(context.artifacts["model"])

    def predict(self, context: Any, model_input: DataFrame, params: Any = None) -> list[Any]:  # noqa: ARG002
        """Answer every row.

        Args:
            context: Not used; the model is already loaded.
            model_input: A data frame; with a logged signature, MLflow converts any input to one. A
                field that is absent, None or NaN in a row is not set there.
            params: Defaults of the rows' fields, if the signature allows params.

        Returns:
            One text a row (contract ``prompt``) or one chat completion a row (``chat``).

        Raises:
            ValueError: A field is missing, unknown, not supported or out of its range.
        """
        if self.contract == "prompt":  # MLflow leaves the texts of {"prompt": [...]} in one cell
            model_input = model_input.explode("prompt")
        rows = model_input.convert_dtypes().to_json(
            orient="records"
        )  # a column with None holds 5 as 5.0
        given = json.loads(rows, object_hook=_without_nulls)
        return [self._answer((params or {}) | row) for row in given]

    def chat(self, messages: Messages, n: int = 1, **sampling: Any) -> dict[str, Any]:
        """Answer a conversation (``role`` and ``content``, oldest first) as OpenAI's API does.

        Each of the ``n`` choices has its own seed; at temperature 0 they are equal.
        """
        _check_range("n", n)
        seed = sampling.pop("seed", None)
        seeds = [seed if seed is None else seed + index for index in range(n)]
        answers = [self.generate(messages, seed=each, **sampling) for each in seeds]
        asked = answers[0].prompt_tokens
        generated = sum(answer.completion_tokens for answer in answers)
        completion = ChatCompletionResponse(
            id=f"chatcmpl-{uuid.uuid4().hex}",
            model=self.model_name,
            choices=[
                ChatChoice(ChatMessage("assistant", answer.text), index, answer.finish_reason)
                for index, answer in enumerate(answers)
            ],
            usage=TokenUsageStats(asked, generated, asked + generated),
        )
        return dict(completion.to_dict())

    def generate(self, prompt: str | Messages, **sampling: Any) -> Generation:
        """Return the whole answer to ``prompt``; arguments and errors are those of ``stream``."""
        pieces = list(self.stream(prompt, **sampling))
        text, last = "".join(piece.text for piece in pieces), pieces[-1]
        return Generation(text, last.finish_reason, last.prompt_tokens, last.completion_tokens)

    def stream(self, prompt: str | Messages, **sampling: Any) -> Iterator[Piece]:
        """Return the answer piece by piece.

        Args:
            prompt: A conversation, or a text. A text with one of the tokenizer's special tokens is
                passed to the model unchanged; any other becomes one user message.
            **sampling: Fields of ``Sampling``.

        Raises:
            ValueError: The prompt or a field cannot be used. Raised at once, not by the iterator.
        """
        if isinstance(prompt, str) and not any(token in prompt for token in self._markup):
            prompt = [{"role": "user", "content": prompt}]
        token_ids = self.encode(prompt if isinstance(prompt, str) else self.render(prompt))
        if (asked := len(token_ids)) >= self._context_tokens:
            raise ValueError(f"{asked} prompt tokens don't fit a context of {self._context_tokens}")
        return self._pieces(token_ids, replace(self.defaults, **_without_nulls(sampling)))

    def render(self, messages: Messages) -> str:
        """Return the conversation in the model's chat markup, up to the start of its answer."""
        if not messages:
            raise ValueError("messages is empty or prompt is missing: there is nothing to answer")
        for index, message in enumerate(messages):
            _check_message(f"messages[{index}]", message)
        conversation = json.dumps([dict(message) for message in messages])
        try:
            return str(self._tokenizer.apply_chat_template(conversation))
        except RuntimeError as error:
            raise ValueError(f"the chat template refuses these messages: {error}") from None

    def encode(self, prompt: str) -> Any:
        """Return the token ids of ``prompt`` as it is: int32, shape (tokens,), no BOS added."""
        _check_text("prompt", prompt)
        return self._tokenizer.encode(prompt)

    def _load(self, folder: str) -> None:
        try:
            config = json.loads((Path(folder) / "genai_config.json").read_bytes())["model"]
            tokens = json.loads((Path(folder) / "tokenizer.json").read_bytes())["added_tokens"]
            self._model = og.Model(folder)
            self._tokenizer = og.Tokenizer(self._model)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            fault = repr(error).replace(folder, "model")  # without paths of the host
            raise RuntimeError(f"the model's folder cannot be loaded: {fault}") from None
        # Chat templates write BOS; a tokenizer that adds another would double it.
        self._tokenizer.update_options(add_special_tokens="false")
        self._markup = [token["content"] for token in tokens if token["special"]]
        self.end_token_ids = {int(token_id) for token_id in self._tokenizer.eos_token_ids}
        self._vocab_size = config["vocab_size"]
        self._context_tokens = config["context_length"]
        self._window_tokens = config["decoder"].get("sliding_window", {}).get("window_size", 0)

    def _answer(self, row: dict[str, Any]) -> str | dict[str, Any]:
        asked, sampling = row.pop(QUESTIONS[self.contract], None), _supported(row)
        if self.contract == "chat":
            return self.chat(asked, **sampling)
        return self.generate(asked, **sampling).text

    def _pieces(self, token_ids: Any, sampling: Sampling) -> Iterator[Piece]:
        held, generated = "", 0
        for generated, text in enumerate(self._texts(token_ids, sampling), start=1):
            shown, held, stopped = split_at_stop(held + (text or ""), sampling.stop_strings)
            if stopped or text is None:
                yield Piece(shown + held, "stop", len(token_ids), generated)
                return
            if shown:
                yield Piece(shown, None, len(token_ids), generated)
        yield Piece(held, "length", len(token_ids), generated)

    def _texts(self, token_ids: Any, sampling: Sampling) -> Iterator[str | None]:
        """Yield the text of each new token: "" within a character, None at the end of the text."""
        room = min(sampling.max_tokens, self._context_tokens - len(token_ids))
        # By default the cache allocates memory for the whole context. A sliding-window model
        # requires at least its window, so this loop counts the tokens as well.
        cache_tokens = min(max(len(token_ids) + room, self._window_tokens), self._context_tokens)
        params = og.GeneratorParams(self._model)
        params.set_search_options(max_length=cache_tokens, **sampling.options(self._vocab_size))
        generator = og.Generator(self._model, params)
        for start in range(0, len(token_ids), SLICE_TOKENS):
            generator.append_tokens(token_ids[start : start + SLICE_TOKENS])
        decoder = self._tokenizer.create_stream()
        for _ in range(room):
            generator.generate_next_token()
            token_id = int(generator.get_next_tokens()[0])
            yield None if token_id in self.end_token_ids else decoder.decode(token_id)


def split_at_stop(text: str, stop: Sequence[str]) -> tuple[str, str, bool]:
    """Split ``text`` at a stop string.

    Returns:
        The text to show, the end that may be the beginning of a stop string, and whether there is
        a stop string. If there is one, the first is the text before it, and the second is empty.
    """
    found = [at for each in stop if (at := text.find(each)) >= 0]
    if found:
        return text[: min(found)], "", True
    beginnings = (each[:size] for each in stop for size in range(1, len(each)))
    held = max((part for part in beginnings if text.endswith(part)), key=len, default="")
    return text.removesuffix(held), held, False


def _supported(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of ``chat``; any other field must be false, 0 or empty."""
    for field, value in fields.items():
        if value and field != "stop" and field not in RANGES:
            raise ValueError(f"{field} is not supported, got {value!r:.80}")
    return {field: fields[field] for field in fields if field == "stop" or field in RANGES}


def _without_nulls(fields: dict[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in fields.items() if value is not None}


def _check_message(name: str, message: Mapping[str, Any]) -> None:
    if message.get("role") not in ROLES:
        raise ValueError(f"{name}.role is {message.get('role')!r}, expected one of {ROLES}")
    _check_text(f"{name}.content", message.get("content"))
    for field in message.keys() - {"role", "content", "name"}:
        if message[field]:
            raise ValueError(f"{name}.{field} is not supported")


def _check_text(name: str, text: Any) -> None:
    """Refuse NUL, at which the runtime would cut the prompt, and text that UTF-8 cannot encode."""
    if not isinstance(text, str) or "\0" in text:
        raise ValueError(f"{name} is {text!r:.80}, expected a text without NUL characters")
    text.encode()


def _check_range(field: str, value: Any) -> None:
    least, most = RANGES[field]
    if value is not None and not (isinstance(value, (int, type(least))) and least <= value <= most):
        raise ValueError(f"{field} is {value!r}, expected {least} to {most}")


set_model(OnnxGenaiModel())
