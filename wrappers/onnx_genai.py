"""Answer prompts or chats with a model that onnxruntime-genai runs: MLflow logs this file as code.

The file travels inside the logged model, so it imports nothing of the project that logged it.
``load_context`` reads four keys of the model configuration:

- ``contract``: ``prompt`` (column ``prompt`` in, one text a row out) or ``chat`` (the fields of an
  OpenAI chat request in, one ``chat.completion`` a row out; see ``mlflow.types.llm``);
- ``model_name``: what responses call the model;
- ``max_tokens`` and ``temperature``: used where a request names none.

A server may take the loaded object (``unwrap_python_model``) and call ``generate``, ``stream`` and
``chat`` itself, whatever the contract. ``completion_tokens`` counts every token that the model
generated, its end-of-text token and the tokens of a cut stop string included.
"""

import json
import math
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read once, when the library is imported
import onnxruntime_genai as og

Messages = Sequence[Mapping[str, Any]]

CONTRACTS = ("prompt", "chat")
ROLES = ("system", "user", "assistant")
RANGES = {  # field: type, least and most value, as in OpenAI's chat requests
    "max_tokens": (int, 1, math.inf),
    "temperature": (float, 0, 2),
    "top_p": (float, 0, 1),
    "top_k": (int, 0, math.inf),
    "seed": (int, 0, math.inf),
    "n": (int, 1, 128),
}
SEEDS = 2**31  # the runtime takes 31 bits
SLICE_TOKENS = 256  # a native call holds the GIL; between slices other threads get their turn


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How the next token is chosen, and when the answer ends.

    Attributes:
        max_tokens: Most tokens that may be generated.
        temperature: 0 takes the likeliest token; above it, tokens are drawn.
        top_p: Draw from the likeliest tokens that together have this probability.
        top_k: Draw from this many of the likeliest tokens; 0 draws from all.
        stop: The answer ends before the first of these texts.
        seed: Makes drawing repeatable; None draws anew each time.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float | None = None
    top_k: int | None = None
    stop: str | Sequence[str] | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        for field in ("max_tokens", "temperature", "top_p", "top_k", "seed"):
            if (value := getattr(self, field)) is not None:
                _check_range(field, value)
        if not all(isinstance(text, str) and text for text in self.stop_strings):
            raise ValueError(f"stop is {self.stop!r}, expected texts that are not empty")

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """``stop``, one or many or none, as a tuple."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    def search_options(self, vocabulary_size: int) -> dict[str, Any]:
        """Return the runtime's names for these choices; what is None stays the model's default."""
        if 0 in (self.temperature, self.top_p):
            return {"do_sample": False}
        options = {
            "temperature": float(self.temperature),
            "top_p": None if self.top_p is None else float(self.top_p),
            "top_k": None if self.top_k is None else min(self.top_k, vocabulary_size),
            "random_seed": None if self.seed is None else self.seed % SEEDS,
        }
        return {"do_sample": True} | {k: v for k, v in options.items() if v is not None}


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer.

    Attributes:
        text: What to append to the answer so far.
        finish_reason: ``stop`` or ``length`` in the last piece, None before.
        prompt_tokens: Tokens that were fed to the model.
        completion_tokens: Tokens generated so far.
    """

    text: str
    finish_reason: str | None
    prompt_tokens: int
    completion_tokens: int


class Generation(Piece):
    """A whole answer: the texts of all its pieces, the rest of the last."""


class StopFilter:
    """Lets text through, but holds back what may turn out to begin a stop string."""

    def __init__(self, stop: tuple[str, ...]) -> None:
        self._stop = stop
        self._held = ""

    def push(self, text: str) -> tuple[str, bool]:
        """Return the text that is safe to show, and whether a stop string follows it."""
        self._held += text
        found = [at for stop in self._stop if (at := self._held.find(stop)) >= 0]
        if found:
            return self._held[: min(found)], True
        safe = len(self._held) - self._undecided()
        shown, self._held = self._held[:safe], self._held[safe:]
        return shown, False

    def rest(self) -> str:
        """Return what is held back, once no more text comes."""
        return self._held

    def _undecided(self) -> int:
        """Return the length of the longest end of the text that begins a stop string."""
        beginnings = (stop[:size] for stop in self._stop for size in range(1, len(stop)))
        return max((len(part) for part in beginnings if self._held.endswith(part)), default=0)


class OnnxGenaiModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """The folder that the builder of onnxruntime-genai wrote, behind one of two contracts."""

    def load_context(self, context: Any) -> None:
        """Load the artifact ``model``, a folder; the top of this file lists the configuration.

        Raises:
            ValueError: The model configuration holds a value that cannot be used.
            RuntimeError: The folder cannot be loaded.
        """
        settings = context.model_config or {}
        self.contract = settings.get("contract", "prompt")
        if self.contract not in CONTRACTS:
            raise ValueError(f"contract is {self.contract!r}, expected one of {CONTRACTS}")
        self.model_name = settings.get("model_name", "onnx-genai")
        chosen = {key: settings[key] for key in ("max_tokens", "temperature") if key in settings}
        self.defaults = Sampling(**chosen)
        self._load(context.artifacts["model"])

    def predict(self, context: Any, model_input: Any, params: Any = None) -> list[Any]:  # noqa: ARG002
        """Answer every row.

        Args:
            context: Not used; the model is loaded by then.
            model_input: A data frame, which MLflow makes of any input since a signature is logged.
                A field that is absent, None or NaN in a row counts as not given there.
            params: Fields for the rows that lack them, where the signature allows params.

        Returns:
            One text a row (contract ``prompt``) or one chat completion a row (``chat``).

        Raises:
            ValueError: A field is missing, unknown, not supported or out of its range.
        """
        rows = [_plain((params or {}) | row) for row in model_input.to_dict("records")]
        if self.contract == "prompt":
            return [self.generate(row.pop("prompt", None), **_supported(row)).text for row in rows]
        return [self.chat(row.pop("messages", []), **_supported(row)) for row in rows]

    def chat(self, messages: Messages, n: int = 1, **sampling: Any) -> dict[str, Any]:
        """Answer a conversation in the form of an OpenAI chat completion.

        Args:
            messages: The conversation, oldest first, with ``role`` and ``content``.
            n: Number of choices; each has a seed of its own, so temperature 0 makes them equal.
            **sampling: Fields of ``Sampling``.
        """
        _check_range("n", n)
        seed = sampling.pop("seed", None)
        seeds = [seed if seed is None else seed + index for index in range(n)]
        answers = [self.generate(messages, seed=each, **sampling) for each in seeds]
        prompt_tokens = answers[0].prompt_tokens
        completion_tokens = sum(answer.completion_tokens for answer in answers)
        return {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self.model_name,
            "choices": [_choice(index, answer) for index, answer in enumerate(answers)],
            "usage": {
                "prompt_tokens": prompt_tokens,
                "completion_tokens": completion_tokens,
                "total_tokens": prompt_tokens + completion_tokens,
            },
        }

    def generate(self, prompt: str | Messages, **sampling: Any) -> Generation:
        """Return the whole answer to ``prompt``; arguments and errors are those of ``stream``."""
        *pieces, last = self.stream(prompt, **sampling)
        text = "".join(piece.text for piece in [*pieces, last])
        return Generation(text, last.finish_reason, last.prompt_tokens, last.completion_tokens)

    def stream(self, prompt: str | Messages, **sampling: Any) -> Iterator[Piece]:
        """Return the answer piece by piece.

        Args:
            prompt: A conversation, or a text. A text that holds one of the tokenizer's special
                tokens is fed as it is; any other is wrapped as one user message.
            **sampling: Fields of ``Sampling``.

        Raises:
            ValueError: At once, not at the first piece: the prompt or a field cannot be used.
        """
        token_ids = self.encode(self._framed(prompt))
        if len(token_ids) >= self._context_length:
            raise ValueError(
                f"the prompt has {len(token_ids)} tokens, "
                f"but the context of {self._context_length} must hold it and an answer"
            )
        return self._pieces(token_ids, replace(self.defaults, **sampling))

    def render(self, messages: Messages) -> str:
        """Return the conversation in the model's chat markup, ready for its next answer."""
        if not messages:
            raise ValueError("messages is empty, expected at least one message")
        for index, message in enumerate(messages):
            _check_message(f"messages[{index}]", message)
        conversation = json.dumps([dict(message) for message in messages])
        try:
            return str(
                self._tokenizer.apply_chat_template(conversation, add_generation_prompt=True)
            )
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
            fault = str(error).replace(folder, "model")  # a host's paths are nobody's business
            raise RuntimeError(f"the model's folder cannot be loaded: {fault}") from None
        # Chat templates write BOS themselves; a tokenizer that adds its own would double it.
        self._tokenizer.update_options(add_special_tokens="false")
        self._markup = [token["content"] for token in tokens if token["special"]]
        self._end_ids = {int(token_id) for token_id in self._tokenizer.eos_token_ids}
        self._vocabulary_size = config["vocab_size"]
        self._context_length = config["context_length"]
        self._window = config["decoder"].get("sliding_window", {}).get("window_size", 0)

    def _framed(self, prompt: str | Messages | None) -> str:
        if prompt is None or isinstance(prompt, str):
            _check_text("prompt", prompt)
            marked_up = any(token in prompt for token in self._markup)
            return prompt if marked_up else self.render([{"role": "user", "content": prompt}])
        return self.render(prompt)

    def _pieces(self, token_ids: Any, sampling: Sampling) -> Iterator[Piece]:
        stop_filter, generated = StopFilter(sampling.stop_strings), 0
        for generated, text in enumerate(self._texts(token_ids, sampling), start=1):
            shown, stopped = stop_filter.push(text or "")
            if stopped or text is None:
                last = shown if stopped else shown + stop_filter.rest()
                yield Piece(last, "stop", len(token_ids), generated)
                return
            if shown:
                yield Piece(shown, None, len(token_ids), generated)
        yield Piece(stop_filter.rest(), "length", len(token_ids), generated)

    def _texts(self, token_ids: Any, sampling: Sampling) -> Iterator[str | None]:
        """Yield what each new token adds: "" within a character, None at the end of the text."""
        room = min(sampling.max_tokens, self._context_length - len(token_ids))
        generator = self._generator(token_ids, room, sampling)
        decoder = self._tokenizer.create_stream()
        for _ in range(room):
            generator.generate_next_token()
            token_id = int(generator.get_next_tokens()[0])
            yield None if token_id in self._end_ids else decoder.decode(token_id)

    def _generator(self, token_ids: Any, room: int, sampling: Sampling) -> Any:
        """Feed the prompt to a generator whose cache has room for the answer and no more."""
        params = og.GeneratorParams(self._model)
        # Left alone, the cache takes memory for the whole context at once. A sliding-window model
        # refuses one below its window, which is why `_texts` counts the tokens itself.
        cache_tokens = min(max(len(token_ids) + room, self._window), self._context_length)
        options = sampling.search_options(self._vocabulary_size)
        params.set_search_options(max_length=cache_tokens, **options)
        generator = og.Generator(self._model, params)
        for start in range(0, len(token_ids), SLICE_TOKENS):
            generator.append_tokens(token_ids[start : start + SLICE_TOKENS])
        return generator


def _choice(index: int, answer: Generation) -> dict[str, Any]:
    message = {"role": "assistant", "content": answer.text}
    return {"index": index, "message": message, "finish_reason": answer.finish_reason}


def _supported(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of ``chat``; any other may be there only to say no, 0 or nothing."""
    for field, value in fields.items():
        if value and field != "stop" and field not in RANGES:
            raise ValueError(f"{field} is not supported, got {value!r}")
    return {key: value for key, value in fields.items() if key == "stop" or key in RANGES}


def _plain(value: Any) -> Any:
    """Return ``value`` as plain Python: no arrays, and in mappings nothing that is not given."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items() if not _is_missing(item)}
    if hasattr(value, "tolist"):  # a numpy array or scalar
        return _plain(value.tolist())
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)  # pandas makes floats of whole numbers where another row has none
    return value


def _is_missing(value: Any) -> bool:
    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def _check_message(name: str, message: Mapping[str, Any]) -> None:
    if message.get("role") not in ROLES:
        raise ValueError(f"{name}.role is {message.get('role')!r}, expected one of {ROLES}")
    _check_text(f"{name}.content", message.get("content"))
    for field in message.keys() - {"role", "content", "name"}:
        if message[field]:
            raise ValueError(f"{name}.{field} is not supported")


def _check_text(name: str, text: Any) -> None:
    """Refuse NUL too: the runtime would silently end the prompt there."""
    if not isinstance(text, str) or "\0" in text:
        raise ValueError(f"{name} is {text!r:.80}, expected a text without NUL characters")


def _check_range(field: str, value: Any) -> None:
    kind, least, most = RANGES[field]
    if not (isinstance(value, (int, kind)) and least <= value <= most):
        raise ValueError(f"{field} is {value!r}, expected {kind.__name__} from {least} to {most}")


mlflow.models.set_model(OnnxGenaiModel())
