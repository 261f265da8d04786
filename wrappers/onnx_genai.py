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
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel
from mlflow.types.llm import ChatChoice, ChatCompletionResponse, ChatMessage, TokenUsageStats
from pandas import DataFrame

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read once, when the library is imported
import onnxruntime_genai as og
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

Messages = Sequence[Mapping[str, Any]]
Request = tuple[str | Messages, dict[str, Any]]  # a prompt, and fields of ``Sampling``
Neutral = Mapping[str, Sequence[Any] | None]

QUESTIONS = {"prompt": "prompt", "chat": "messages"}  # by contract: the field with the question
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
FIELDS_OF_TOOLS = ("tool_calls", "tool_call_id", "name", "tools")  # of a message
CALL_TOKENS = {  # special tokens that are shown in answers to requests with tools
    *("<tool_call>", "</tool_call>", "<|tool_call|>", "<|/tool_call|>"),
    *("[TOOL_CALLS]", "[ARGS]", "<|python_tag|>"),
}
RANGES = {  # by field: least and most value; whole numbers if the least is an int
    "max_tokens": (1, math.inf),
    "temperature": (0.0, 2.0),
    "top_p": (0.0, 1.0),
    "top_k": (-1, math.inf),
    "seed": (0, 2**31 - 1),
    "repetition_penalty": (0.01, 2.0),
    "n": (1, 128),
}
STOP_STRINGS, STOP_CHARACTERS = 32, 256  # of one request, and of one of them
BYTE_TOKENS = [f"<0x{byte:02X}>" for byte in range(256)]  # where a vocabulary has bytes as such
BROKEN = "\N{REPLACEMENT CHARACTER}"  # what bytes that are no character decode to
SLICE_TOKENS = 64  # of a prompt in one native call; between two, other answers continue
BATCH_ROWS = 4  # of one batch: on a CPU the runtime's engine takes no more, whatever is configured
BATCH_PROMPT_TOKENS = 1024  # of a batch, padded: the engine reads its prompts in one native call
GATHER_SECONDS = 0.25  # for each running lane: what waits may become one batch
LONG_ROPE = {"phi3": 4096}  # by model type: the longest sequence with LongRoPE's short factors
RENDER_SECONDS = 5.0  # of the processor, for one conversation
RENDER_CHARACTERS = 10_000_000  # more than any context holds


# Fields that ask for nothing, by the values that do; None for every value. Slipway's model server
# has the same tables: OpenAI's names, and those of vLLM, llama.cpp, Ollama and MLflow.
_EMPTY: Sequence[Any] = ([], {}, "")

_NO_EFFECT = (
    *("metadata", "parallel_tool_calls", "prediction", "prompt_cache_key"),
    *("prompt_cache_retention", "safety_identifier", "service_tier", "store", "user"),
    *("cache_salt", "guided_decoding_backend", "guided_whitespace_pattern", "request_id"),
    *("cache_prompt", "dry_allowed_length", "dry_base", "dry_penalty_last_n"),
    *("dry_sequence_breakers", "id_slot", "mirostat_eta", "mirostat_tau", "repeat_last_n"),
    *("xtc_threshold", "keep_alive"),
)
_IF_EMPTY = (
    *("functions", "logit_bias", "suffix", "tools", "extra_body", "extra_headers", "extra_query"),
    *("bad_words", "chat_template_kwargs", "documents", "kv_transfer_params", "logits_processors"),
    *("mm_processor_kwargs", "stop_token_ids", "vllm_xargs", "grammar", "lora", "context"),
    *("format", "images", "options", "system", "template", "custom_inputs"),
)
_IF_ZERO = (
    *("frequency_penalty", "presence_penalty", "top_logprobs", "min_p", "min_tokens", "priority"),
    *("dry_multiplier", "dynatemp_range", "min_keep", "mirostat", "n_discard", "n_indent"),
    *("n_keep", "n_probs", "t_max_predict_ms", "xtc_probability"),
)
_IF_ONE = (
    *("best_of", "length_penalty", "repetition_penalty", "dynatemp_exponent", "repeat_penalty"),
    *("typical_p",),
)
_IF_FALSE = (
    *("echo", "logprobs", "stream", "add_special_tokens", "continue_final_message", "ignore_eos"),
    *("include_stop_str_in_output", "return_token_ids", "return_tokens_as_token_ids"),
    *("use_beam_search", "post_sampling_probs", "return_progress", "return_tokens"),
    *("thinking_forced_open", "timings_per_token", "raw", "think"),
)
_IF_TRUE = (
    *("add_generation_prompt", "include_reasoning", "skip_special_tokens"),
    *("spaces_between_special_tokens",),
)
_IF_NULL = (
    *("audio", "web_search_options", "allowed_token_ids", "chat_template", "guided_choice"),
    *("guided_grammar", "guided_json", "guided_regex", "logprob_token_ids", "prompt_logprobs"),
    *("structured_outputs", "thinking_token_budget", "truncate_prompt_tokens", "json_schema"),
    *("samplers",),
)

#: Of a request's body.
NEUTRAL: Neutral = {
    **dict.fromkeys(_NO_EFFECT),
    **dict.fromkeys(_IF_EMPTY, _EMPTY),
    **dict.fromkeys(_IF_ZERO, (0,)),
    **dict.fromkeys(_IF_ONE, (1,)),
    **dict.fromkeys(_IF_FALSE, (False,)),
    **dict.fromkeys(_IF_TRUE, (True,)),
    **dict.fromkeys(_IF_NULL, ()),
    **dict.fromkeys(("function_call", "tool_choice"), ("none", "auto")),
    **dict.fromkeys(("max_completion_tokens", "max_tokens", "n_predict"), (-1,)),
    **dict.fromkeys(("reasoning_effort", "reasoning_format"), ("none",)),
    "modalities": (["text"],),
    "response_format": ({"type": "text"},),
    "top_n_sigma": (-1, 0),
    "verbosity": ("medium",),
}

#: Of a message; clients send back whatever an answer's message held.
NEUTRAL_IN_MESSAGE: Neutral = {
    **dict.fromkeys(("annotations", "cache_control", "name", "parsed")),
    **dict.fromkeys(
        (
            *("audio", "function_call", "images", "reasoning", "reasoning_content"),
            *("reasoning_details", "refusal", "thinking", "tool_call_id", "tool_calls"),
        ),
        _EMPTY,
    ),
    "prefix": (False,),
}

#: Of a part of a message's content.
NEUTRAL_IN_PART: Neutral = {"cache_control": None}


class FieldRefused(ValueError):
    """A field of a request cannot be used.

    Attributes:
        param: Its place, as in ``messages.0.content``.
        code: OpenAI's.
    """

    code = "invalid_value"

    def __init__(self, param: str, fault: str) -> None:
        super().__init__(f"{param} {fault}")
        self.param = param


class ContextLengthExceeded(ValueError):
    """A prompt has as many tokens as the model's context, or more."""

    code = "context_length_exceeded"  # OpenAI's


class GuidanceRefused(FieldRefused):
    """The runtime cannot compile the guidance, or does not know its kind."""

    code = "invalid_guidance"

    def __init__(self, fault: str) -> None:
        super().__init__("guidance", f"cannot be used: {fault:.400}")


class CacheExceeded(FieldRefused):
    """A prompt and its answer need more memory for the key-value cache than there is."""

    code = "memory_limit_exceeded"

    def __init__(self, needed: int, limit: int) -> None:
        fault = f"and the prompt need a cache of {needed} tokens, and there is memory for {limit}"
        super().__init__("max_tokens", f"{fault}; ask for fewer, or shorten the prompt")


class MessagesDeclined(ValueError):
    """The chat template declines these messages, as some do with a system message."""

    code = "messages_declined"


class RenderingTimeout(RuntimeError):
    """The chat template does not end within ``RENDER_SECONDS`` for these messages."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How tokens are chosen and when the answer ends; fields as in OpenAI's chat requests.

    ``temperature`` 0 takes the likeliest token, ``top_k`` 0 or -1 samples from all, ``stop`` is one
    text or several; without a ``seed`` every answer is sampled with another one. An answer matches
    ``guidance``: ``json_schema``, ``regex`` or ``lark_grammar``, and its text. The chat template
    renders ``tools``; with a list, even an empty one, the special tokens of calls are shown.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float | None = None
    top_k: int | None = None
    stop: str | Sequence[str] = ()
    seed: int | None = None
    guidance: tuple[str, str] | None = None
    repetition_penalty: float | None = None
    tools: Sequence[Mapping[str, Any]] | None = None

    def __post_init__(self) -> None:
        for field in RANGES.keys() & self.__slots__:
            _check_range(field, getattr(self, field))
        texts = self.stop_strings
        are_texts = all(
            isinstance(text, str) and 0 < len(text) <= STOP_CHARACTERS for text in texts
        )
        if not are_texts or len(texts) > STOP_STRINGS:
            fault = f"is {self.stop!r:.80}, expected up to {STOP_STRINGS} non-empty texts"
            raise FieldRefused("stop", f"{fault} of {STOP_CHARACTERS} characters or less")

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """``stop`` as a tuple."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is taken."""
        return 0 in (self.temperature, self.top_p)

    def options(self, vocabulary_size: int) -> dict[str, Any]:
        """Return the runtime's search options; for None the model's default applies."""
        penalty = _without_nulls({"repetition_penalty": self.repetition_penalty})
        if self.greedy:
            return {"do_sample": False} | penalty
        top_k = None if self.top_k is None else min(max(self.top_k, 0), vocabulary_size)
        options = {"temperature": self.temperature, "top_p": self.top_p, "random_seed": self.seed}
        return {"do_sample": True} | penalty | _without_nulls(options | {"top_k": top_k})


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
        return self._answers([(params or {}) | row for row in given])

    def chat(self, messages: Messages, n: int = 1, **sampling: Any) -> dict[str, Any]:
        """Answer a conversation (``role`` and ``content``, oldest first) as OpenAI's API does.

        Each of the ``n`` choices has its own seed; at temperature 0 they are equal.
        """
        return self._completion(self._generate_all(_choices(messages, n, **sampling)))

    def _completion(self, answers: Sequence[Generation]) -> dict[str, Any]:
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
        return _whole(list(self.stream(prompt, **sampling)))

    def _generate_all(self, requests: Sequence[Request]) -> list[Generation]:
        """Return the whole answers, in the order of their requests; several form batches."""
        if len(requests) == 1:
            return [self.generate(prompt, **sampling) for prompt, sampling in requests]
        scheduler, pieces = self.scheduler(2 * BATCH_ROWS), [list[Piece]() for _ in requests]
        for key, (prompt, sampling) in enumerate(requests):
            scheduler.add(key, prompt, **sampling)
        while scheduler.pending:
            for key, piece in scheduler.step():
                if isinstance(piece, Exception):
                    raise piece
                pieces[key].append(piece)
        return [_whole(each) for each in pieces]

    def stream(self, prompt: str | Messages, **sampling: Any) -> Iterator[Piece]:
        """Return the answer piece by piece.

        Args:
            prompt: A conversation, or a text. A text with one of the tokenizer's special tokens is
                passed to the model unchanged; any other becomes one user message.
            **sampling: Fields of ``Sampling``.

        Raises:
            ValueError: The prompt or a field cannot be used. Raised at once, not by the iterator.
        """
        answer = self.answer(prompt, **sampling)
        return self._pieces(GeneratorLane(self, answer), answer)

    def answer(self, prompt: str | Messages, **sampling: Any) -> "AnswerInProgress":
        """Return what is to be generated; arguments and errors are those of ``stream``."""
        if isinstance(prompt, str) and not any(token in prompt for token in self._markup):
            prompt = [{"role": "user", "content": prompt}]
        chosen = replace(self.defaults, **_without_nulls(sampling))
        text = prompt if isinstance(prompt, str) else self.render(prompt, chosen.tools)
        token_ids = self.encode(text)
        if (asked := len(token_ids)) >= self.context_tokens:
            raise ContextLengthExceeded(
                f"this model's maximum context length is {self.context_tokens} tokens, and the "
                f"prompt has {asked}; shorten it"
            )
        room = min(chosen.max_tokens, self.context_tokens - asked)
        calls = {} if chosen.tools is None else self._calls
        texts = TextStream(self._tokenizer, self._joined, calls)
        return AnswerInProgress(token_ids, chosen, room, texts, self.end_token_ids)

    def scheduler(self, rows: int, cache_tokens: float = math.inf) -> "LaneScheduler":
        """Return what answers many requests at a time.

        Args:
            rows: Answers that are generated at the same time; more of them wait.
            cache_tokens: For how many tokens there is memory in the key-value cache.
        """
        return LaneScheduler(self, rows, cache_tokens)

    def render(self, messages: Messages, tools: Sequence[Any] | None = None) -> str:
        """Return the conversation in the model's chat markup, up to the start of its answer.

        Args:
            messages: ``role`` and ``content``, oldest first.
            tools: Functions as in OpenAI's API. If there is a list, even an empty one, messages may
                have the role ``tool`` and ``tool_calls``, whose arguments are objects.

        Raises:
            ValueError: A message cannot be used, or the chat template declines it.
            RenderingTimeout: The chat template does not end.
        """
        if not messages:
            raise ValueError("messages is empty or prompt is missing: there is nothing to answer")
        read = _turn if tools is None else _turn_with_tools
        turns = [read(f"messages.{index}", message) for index, message in enumerate(messages)]
        try:
            return self._template.render(turns, tools or None)
        except (ContextLengthExceeded, RenderingTimeout, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - a template may raise anything
            reason = f"{type(error).__name__}: {error}"
            declined = f"the chat template declines these messages: {reason:.200}"
            raise MessagesDeclined(declined) from None

    def encode(self, prompt: str) -> list[int]:
        """Return the token ids of ``prompt`` as it is: chat templates write BOS, none is added."""
        _check_text("prompt", prompt)
        return list(self._tokenizer.encode(prompt, add_special_tokens=False).ids)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text that an answer of these tokens has; special tokens have none."""
        texts = TextStream(self._tokenizer, self._joined)
        return "".join([*map(texts.push, token_ids), texts.end()])

    def _load(self, folder: str) -> None:
        try:
            config = json.loads((Path(folder) / "genai_config.json").read_bytes())["model"]
            self._tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
            self.runtime = _runtime(folder, config)
            self._template = ChatTemplate(Path(folder))
        except Exception as error:  # noqa: BLE001 - tokenizers raises no other class
            fault = repr(error).replace(folder, "model")  # without paths of the host
            raise RuntimeError(f"the model's folder cannot be loaded: {fault}") from None
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        added = self._tokenizer.get_added_tokens_decoder()
        special = {token_id: token.content for token_id, token in added.items() if token.special}
        self._markup = [*special.values()]
        self.known_tokens = self._tokenizer.get_vocab_size()
        known_bytes = map(self._tokenizer.token_to_id, BYTE_TOKENS)
        self._calls = {each: text for each, text in special.items() if text in CALL_TOKENS}
        self._joined = {*special, *(each for each in known_bytes if each is not None)}
        ends = config["eos_token_id"]
        self.end_token_ids = {*ends} if isinstance(ends, list) else {ends}
        self.vocab_size = config["vocab_size"]
        self.context_tokens = config["context_length"]
        self.rope_switch = LONG_ROPE.get(config["type"], self.context_tokens)
        self.window_tokens = config["decoder"].get("sliding_window", {}).get("window_size", 0)

    def _answers(self, rows: Sequence[dict[str, Any]]) -> list[Any]:
        """Answer rows; all answers of all rows are generated together."""
        requests: list[list[Request]] = []
        for row in rows:
            asked, sampling = row.pop(QUESTIONS[self.contract], None), _supported(row)
            one = [(asked, sampling)] if self.contract == "prompt" else _choices(asked, **sampling)
            requests.append(one)
        answers = iter(self._generate_all([each for row in requests for each in row]))
        whole = [[next(answers) for _ in row] for row in requests]
        if self.contract == "chat":
            return [self._completion(each) for each in whole]
        return [answer.text for (answer,) in whole]

    def generator(self, answer: "AnswerInProgress") -> Any:
        """Return a generator for this answer.

        By default the cache allocates memory for the whole context. A sliding-window model requires
        at least its window, so an answer counts its tokens as well.
        """
        sampling = answer.sampling
        cache_tokens = min(max(answer.tokens, self.window_tokens), self.context_tokens)
        params = og.GeneratorParams(self.runtime)
        params.set_search_options(max_length=cache_tokens, **sampling.options(self.vocab_size))
        if sampling.guidance is None:
            return og.Generator(self.runtime, params)
        try:
            params.set_guidance(*sampling.guidance)
            return og.Generator(self.runtime, params)  # compiles the guidance
        except RuntimeError as error:
            raise GuidanceRefused(str(error)) from None

    @staticmethod
    def _pieces(lane: "GeneratorLane", answer: "AnswerInProgress") -> Iterator[Piece]:
        while not answer.ended:
            for _, piece in lane.step():
                yield piece

    def slices(self, token_ids: Any) -> Iterator[Any]:
        """Yield the prompt in parts that give the same result as the whole.

        LongRoPE has other factors for a longer sequence, and what is in the cache keeps those of
        the length at which it was computed. So the first part of a long prompt reaches beyond the
        switch. An answer that grows beyond it needs nothing: the runtime computes the cache anew.
        """
        first = self.rope_switch + 1 if len(token_ids) > self.rope_switch else SLICE_TOKENS
        yield token_ids[:first]
        for start in range(first, len(token_ids), SLICE_TOKENS):
            yield token_ids[start : start + SLICE_TOKENS]


def _runtime(folder: str, model: dict[str, Any]) -> Any:
    """Load the weights; a session of the runtime's engine may then be as long as the context."""
    config = og.Config(folder)
    batches = {"static_batching": {"max_batch_size": BATCH_ROWS}}
    search = {"max_length": model["context_length"]}
    config.overlay(json.dumps({"engine": batches, "search": search}))
    return og.Model(config)


class AnswerInProgress:
    """An answer that is being generated: takes tokens, returns pieces.

    Attributes:
        key: Names it for whoever asked.
        since: When it began to wait, on the monotonic clock.
        ended: Whether its last piece was returned.
    """

    key: Any = None
    since = 0.0
    ended = False

    def __init__(
        self,
        token_ids: list[int],
        sampling: Sampling,
        room: int,
        texts: "TextStream",
        ends: Collection[int],
    ) -> None:
        self.sampling = sampling
        self.tokens = len(token_ids) + room  # of the whole sequence, at most
        self.sequence = list(token_ids)  # so far
        self._asked = len(token_ids)
        self._texts = texts
        self._ends = ends
        self._stop = StopFilter(sampling.stop_strings)

    @property
    def generated(self) -> int:
        """Number of tokens so far."""
        return len(self.sequence) - self._asked

    @property
    def left(self) -> int:
        """Number of tokens that may follow."""
        return self.tokens - len(self.sequence)

    def push(self, token_id: int) -> Piece | None:
        """Take the next token; return the text that is certain now, if there is any."""
        self.sequence.append(token_id)
        ended = token_id in self._ends
        shown, stopped = self._stop.push(self._texts.end() if ended else self._texts.push(token_id))
        if stopped or ended:
            return self._piece(shown + self._stop.held, "stop")
        if self.left:
            return self._piece(shown, None) if shown else None
        rest, stopped = self._stop.push(self._texts.end().rstrip(BROKEN))  # cut within a character
        return self._piece(shown + rest + self._stop.held, "stop" if stopped else "length")

    def end(self) -> Piece | None:
        """Take the end of the answer, for which the runtime gave no token."""
        return self.push(next(iter(self._ends)))

    def _piece(self, text: str, reason: str | None) -> Piece:
        self.ended = reason is not None
        return Piece(text, reason, self._asked, self.generated)


class GeneratorLane:
    """Generates one answer; a step takes a slice of its prompt, or one token."""

    turn = 0.0

    def __init__(self, model: OnnxGenaiModel, answer: AnswerInProgress) -> None:
        self.answers = [answer]
        self._generator = model.generator(answer)
        self._slices = model.slices(answer.sequence[:])

    def step(self) -> list[tuple[AnswerInProgress, Piece]]:
        """Return the pieces of one step."""
        [answer] = self.answers
        if (part := next(self._slices, None)) is not None:
            self._generator.append_tokens(part)
            return []
        self._generator.generate_next_token()
        piece = answer.push(int(self._generator.get_next_tokens()[0]))
        return [(answer, piece)] if piece else []

    def remove(self, answer: AnswerInProgress) -> None:
        """Generate no more of an answer."""
        self.answers.remove(answer)


class BatchLane:
    """Generates several answers with one engine of the runtime; a step takes a token of each.

    On a CPU (onnxruntime-genai 0.18) a running batch takes no newcomers, and an engine refuses what
    needs dynamic batching: stop strings, seeds, and sessions that continue beside others.
    """

    turn = 0.0

    def __init__(self, model: OnnxGenaiModel, answers: Sequence[AnswerInProgress]) -> None:
        self.answers = list(answers)
        self._engine = og.Engine(model.runtime)
        self._events = self._engine.create_event_buffer(4 * BATCH_ROWS)
        self._turns = [(answer, *self._begun(model, answer)) for answer in answers]

    def _begun(self, model: OnnxGenaiModel, answer: AnswerInProgress) -> tuple[Any, int]:
        session = og.RequestOptions()
        session.set_max_session_tokens(answer.tokens)
        request = self._engine.create_request(options=session)
        options = og.TurnOptions(request)
        options.set_max_generated_tokens(answer.left)
        for name, value in answer.sampling.options(model.vocab_size).items():
            getattr(options, f"set_{name}")(value)
        if answer.sampling.guidance:
            options.set_guidance(*answer.sampling.guidance)
        return request, request.begin_turn(answer.sequence, options)

    def step(self) -> list[tuple[AnswerInProgress, Piece]]:
        """Return the pieces of one step.

        Raises:
            RuntimeError: The engine failed, for all answers of the batch.
        """
        given = []
        for event in self._engine.run(self._events):
            answer = next(each for each, request, _ in self._turns if request is event.request)
            if event.flags & og.EngineEventFlags.FAILED:
                raise RuntimeError(f"the runtime's engine failed: {event.error_code}")
            if answer in self.answers and (piece := self._piece(answer, event)):
                given.append((answer, piece))
        return given

    @staticmethod
    def _piece(answer: AnswerInProgress, event: Any) -> Piece | None:
        piece = answer.push(event.token) if event.flags & og.EngineEventFlags.TOKEN else None
        if event.finish_reason == og.FinishReason.EOS and not answer.ended:
            return answer.end()
        return piece

    def remove(self, answer: AnswerInProgress) -> None:
        """Generate no more of an answer."""
        self.answers.remove(answer)
        for each, request, turn in self._turns:
            if each is answer:
                request.cancel_turn(turn)


Outcome = tuple[Any, Piece | Exception]  # of the request with this key


class LaneScheduler:
    """Answers many requests with one copy of the weights, all from one thread.

    Answers are generated in lanes: a batch, or one answer that a batch cannot take. Lanes take
    turns, and each answer has the same share of the time (start-time fair queueing: Goyal, Vin and
    Cheng, SIGCOMM 1996). A lane that begins has the next turn, so a short request does not wait for
    the end of a long prompt or of a long answer. A new lane is begun at once if none runs, and
    otherwise after a moment, in which requests gather for a batch.
    """

    def __init__(self, model: OnnxGenaiModel, rows: int, cache_tokens: float) -> None:
        self._model = model
        self._rows = rows
        self._cache_tokens = cache_tokens
        self._waiting: list[AnswerInProgress] = []
        self._lanes: list[GeneratorLane | BatchLane] = []

    @property
    def pending(self) -> bool:
        """Whether an answer waits or is being generated."""
        return bool(self._waiting or self._lanes)

    @property
    def load(self) -> tuple[int, int, int]:
        """Lanes, answers in them, and tokens for which their caches have memory."""
        answers = [lane.answers for lane in self._lanes]
        return len(answers), sum(map(len, answers)), sum(map(_cache, answers))

    def add(self, key: Any, prompt: str | Messages, **sampling: Any) -> None:
        """Add a request; arguments and errors are those of ``stream``.

        Raises:
            ValueError: Also if there will never be enough memory for its cache.
        """
        answer = self._model.answer(prompt, **sampling)
        if answer.tokens > self._cache_tokens:
            raise CacheExceeded(answer.tokens, int(self._cache_tokens))
        if answer.sampling.guidance:
            self._model.generator(answer)
        answer.key, answer.since = key, time.monotonic()
        self._waiting.append(answer)

    def cancel(self, key: Any) -> None:
        """Forget a request."""
        self._waiting = [each for each in self._waiting if each.key != key]
        for lane in self._lanes:
            for answer in [each for each in lane.answers if each.key == key]:
                lane.remove(answer)
        self._lanes = [lane for lane in self._lanes if lane.answers]

    def step(self) -> list[Outcome]:
        """Generate a little of one lane; return pieces, each with the key of its request.

        An exception, or a piece with a finish reason, is the last of its request.
        """
        given = self._begin_lanes()
        if not self._lanes:
            return given
        lane = min(self._lanes, key=lambda each: each.turn)
        rows, started = len(lane.answers), time.monotonic()
        try:
            pieces = lane.step()
        except Exception as error:  # noqa: BLE001 - every error is for its request alone
            self._lanes.remove(lane)
            return given + self._split(lane.answers, error, lane.turn)
        lane.turn += (time.monotonic() - started) / rows
        for answer, piece in pieces:
            if answer.ended:
                lane.remove(answer)
            given.append((answer.key, piece))
        if not lane.answers:
            self._lanes.remove(lane)
        return given

    def _begin_lanes(self) -> list[Outcome]:
        given: list[Outcome] = []
        while self._waiting and self._gathered() and (answers := self._next_answers()):
            self._waiting = [each for each in self._waiting if each not in answers]
            given += self._begin(answers, min((lane.turn for lane in self._lanes), default=0.0))
        return given

    def _gathered(self) -> bool:
        """Whether what waits is a full batch, or has waited for long enough."""
        patience = GATHER_SECONDS * len(self._lanes)
        waited = time.monotonic() - self._waiting[0].since
        return waited >= patience or sum(map(self._batchable, self._waiting)) >= BATCH_ROWS

    def _next_answers(self) -> list[AnswerInProgress]:
        """Return what waits and fits into one lane; nothing if the first must wait."""
        _, running, held = self.load
        free = self._rows - running
        first, *others = self._waiting
        taken: list[AnswerInProgress] = []
        alone = not self._batchable(first)
        for answer in [first] if alone else [first, *filter(self._batchable, others)]:
            more = [*taken, answer]
            padded = len(more) * max(len(each.sequence) for each in more)
            if len(more) > min(free, BATCH_ROWS) or held + _cache(more) > self._cache_tokens:
                break
            if taken and padded > BATCH_PROMPT_TOKENS:
                break
            taken = more
        return taken

    def _batchable(self, answer: AnswerInProgress) -> bool:
        """Whether the runtime's engine gives the answer that a generator gives, without delay.

        Its prompt is read in one native call; an engine for static batches takes no seed; windows
        and LongRoPE need a cache of another length than the request.
        """
        model = self._model
        sampled_again = answer.sampling.seed is not None and not answer.sampling.greedy
        return (
            not sampled_again
            and len(answer.sequence) <= BATCH_PROMPT_TOKENS // BATCH_ROWS
            and not model.window_tokens
            and answer.tokens <= model.rope_switch
        )

    def _begin(self, answers: Sequence[AnswerInProgress], turn: float) -> list[Outcome]:
        """Begin a lane; one answer alone needs no engine."""
        lane: GeneratorLane | BatchLane
        try:
            if len(answers) > 1:
                lane = BatchLane(self._model, answers)
            else:
                lane = GeneratorLane(self._model, answers[0])
        except Exception as error:  # noqa: BLE001 - every error is for its request alone
            return self._split(answers, error, turn)
        lane.turn = turn
        self._lanes.insert(0, lane)  # of lanes that had the same share, the newest is next
        return []

    def _split(
        self, answers: Sequence[AnswerInProgress], error: Exception, turn: float
    ) -> list[Outcome]:
        """Continue the answers of a lane that failed in two halves; a single one has failed.

        A grammar cannot be continued in the middle.
        """
        whole = [each for each in answers if each.sampling.guidance is None or not each.generated]
        if len(answers) == 1:
            whole = []
        lost: list[Outcome] = [(each.key, error) for each in answers if each not in whole]
        for half in (whole[: len(whole) // 2], whole[len(whole) // 2 :]):
            lost += self._begin(half, turn) if half else []
        return lost


def _choices(messages: Messages, n: int = 1, **sampling: Any) -> list[Request]:
    """Return a request for each of ``n`` choices, each with a seed of its own."""
    _check_range("n", n)
    seed = sampling.pop("seed", None)
    seeds = [seed if seed is None else seed + index for index in range(n)]
    return [(messages, sampling | {"seed": each}) for each in seeds]


def _whole(pieces: Sequence[Piece]) -> Generation:
    text, last = "".join(piece.text for piece in pieces), pieces[-1]
    return Generation(text, last.finish_reason, last.prompt_tokens, last.completion_tokens)


def _cache(answers: Sequence[AnswerInProgress]) -> int:
    """Return the tokens for which the cache of a lane has memory."""
    return len(answers) * max((answer.tokens for answer in answers), default=0)


class TextStream:
    """Decodes an answer token by token; all texts together are what its tokens decode to at once.

    ``DecodeStream`` holds the bytes of an incomplete character. Tokens of ``joined`` are held until
    another one follows: bytes such as ``<0x0A>``, of which a tokenizer decodes a whole run or
    nothing, and special tokens, which have no text and so do not end such a run. Those of ``calls``
    have this text, and what follows is decoded anew.
    """

    def __init__(
        self, tokenizer: Tokenizer, joined: Collection[int], calls: Mapping[int, str] | None = None
    ) -> None:
        self._tokenizer = tokenizer
        self._joined = joined
        self._calls = calls or {}
        self._begin()

    def _begin(self) -> None:
        self._stream = DecodeStream(skip_special_tokens=True)
        self._token_ids: list[int] = []
        self._held: list[int] = []
        self._shown = 0  # characters

    def push(self, token_id: int) -> str:
        """Take the next token; return the text that is certain now."""
        if token_id in self._calls:
            text = self.end() + self._calls[token_id]
            self._begin()
            return text
        self._token_ids.append(token_id)
        self._held.append(token_id)
        if token_id in self._joined:
            return ""
        text = self._stream.step(self._tokenizer, self._held) or ""
        self._held = []
        self._shown += len(text)
        return text

    def end(self) -> str:
        """Return the rest of the text."""
        text = self._tokenizer.decode(self._token_ids, skip_special_tokens=True)
        return str(text)[self._shown :]


class ChatTemplate:
    """The chat template of a model's folder, rendered as transformers 5.22 renders it.

    The template, its variables and its environment are those of ``PreTrainedTokenizerBase`` and of
    ``utils/chat_template_utils.py`` there. The limits of time and length are added.
    """

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "tokenizer_config.json").read_bytes())
        text = _template_text(folder, config)
        self._tokens = _special_tokens(folder, config)
        self._template = None if text is None else _compiled(text)

    def render(self, messages: list[dict[str, Any]], tools: Sequence[Any] | None = None) -> str:
        """Return the conversation, up to the start of the next answer.

        Raises:
            ContextLengthExceeded: The text has more than ``RENDER_CHARACTERS``.
            RenderingTimeout: The template does not end.
            Exception: What the template raises.
        """
        if self._template is None:
            raise TemplateError("the model has no chat template")
        variables = {"tools": tools, "documents": None, "add_generation_prompt": True}
        pieces, characters = [], 0
        _DEADLINE.set(time.thread_time() + RENDER_SECONDS)
        for piece in self._template.generate(messages=messages, **variables, **self._tokens):
            pieces.append(piece)
            characters += len(piece)
            if characters > RENDER_CHARACTERS:
                raise ContextLengthExceeded(f"the prompt has over {RENDER_CHARACTERS} characters")
        return "".join(pieces)


class _Generation(Extension):
    """Renders what is between ``{% generation %}`` and ``{% endgeneration %}`` as it is."""

    tags = {"generation"}  # noqa: RUF012 - as its base declares it

    def parse(self, parser: Parser) -> nodes.Node:
        """Read the block; as in transformers, what is set in it stays in it."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    @staticmethod
    def _body(caller: Callable[[], str]) -> str:
        return caller()


class _Dict:
    """``dict`` of templates, which gives no access to the class."""

    def __call__(self, *args: Any, **fields: Any) -> dict[Any, Any]:
        return dict(*args, **fields)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        """Return a dict with these keys."""
        return dict.fromkeys(*args)


class _Namespace(Namespace):
    """``namespace`` of templates, which holds no name of Python's internals."""

    def __init__(*args: Any, **fields: Any) -> None:
        self, *initial = args  # so that a field may be called ``self``
        Namespace.__init__(self)
        for name, value in dict(*initial, **fields).items():
            self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        if isinstance(name, str) and name.startswith("_"):
            raise SecurityError(f"a namespace holds no names with an underscore first: {name!r}")
        super().__setitem__(name, value)


_DEADLINE: ContextVar[float] = ContextVar("_DEADLINE")  # on the clock of the rendering thread


def _check_time() -> None:
    if time.thread_time() > _DEADLINE.get():
        raise RenderingTimeout(f"the chat template does not end within {RENDER_SECONDS:g} s")


def _compiled(text: str) -> Template:
    """Return a template that looks at the clock in each loop and each macro."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {
        "dict": _Dict(),
        "namespace": _Namespace,
        "raise_exception": _raise_exception,
        "strftime_now": _strftime_now,
    }
    environment.extend(check_time=_check_time)
    check = nodes.Call(nodes.EnvironmentAttribute("check_time"), [], [], None, None)
    tree = environment.parse(text)
    blocks: list[Any] = [*tree.find_all((nodes.For, nodes.Macro, nodes.CallBlock))]
    for block in blocks:
        block.body.insert(0, nodes.ExprStmt(check).set_lineno(block.lineno))
    return environment.from_string(tree)


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)  # noqa: DTZ005 - the local time, as in transformers


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _template_text(folder: Path, config: dict[str, Any]) -> str | None:
    """Return the template that transformers takes; files precede the tokenizer's configuration."""
    file, named = folder / "chat_template.jinja", folder / "additional_chat_templates"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    if any(named.glob("*.jinja")):
        return None  # transformers looks no further, and has no default
    field = config.get("chat_template")
    if isinstance(field, list):
        return {each["name"]: each["template"] for each in field}.get("default")
    return field


def _special_tokens(folder: Path, config: dict[str, Any]) -> dict[str, str]:
    """Return the tokens that templates know by name, such as ``bos_token``."""
    older = folder / "special_tokens_map.json"
    if "added_tokens_decoder" not in config and older.is_file():
        config = config | json.loads(older.read_bytes())
    extra = config.get("extra_special_tokens")
    fields = {name: value for name, value in config.items() if name.endswith("_token")}
    fields |= extra if isinstance(extra, dict) else {}
    tokens = {
        name: value.get("content") if isinstance(value, dict) else value
        for name, value in fields.items()
    }
    return {name: token for name, token in tokens.items() if isinstance(token, str)}


class StopFilter:
    """Finds the first stop string in a text that comes in pieces, in time linear in the text.

    After each character it knows, for each stop string, how many of the last characters begin it
    (Knuth, Morris and Pratt, SIAM Journal on Computing 6, 1977). ``held`` is the end of the text
    that may begin a stop string, so it is not shown yet.
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self.held = ""
        self._stop = stop
        self._borders = [_borders(text) for text in stop]
        self._begun = [0] * len(stop)

    def push(self, piece: str) -> tuple[str, bool]:
        """Take the next piece; return what can be shown, and whether a stop string was found.

        What is shown then ends before it, and nothing is held.
        """
        text = self.held + piece
        for end, character in enumerate(piece, start=len(self.held) + 1):
            self._begun = [
                _advanced(*each, character)
                for each in zip(self._stop, self._borders, self._begun, strict=True)
            ]
            pairs = zip(self._stop, self._begun, strict=True)
            if found := [begun for stop, begun in pairs if begun == len(stop)]:
                self.held = ""
                return text[: end - max(found)], True
        shown = len(text) - max(self._begun, default=0)
        self.held = text[shown:]
        return text[:shown], False


def _borders(text: str) -> list[int]:
    """Return, for each beginning of ``text``, the longest shorter beginning that it ends with."""
    borders = [0]
    for character in text[1:]:
        borders.append(_advanced(text, borders, borders[-1], character))
    return borders


def _advanced(stop: str, borders: list[int], begun: int, character: str) -> int:
    """Return how many characters of ``stop`` the text ends with after one more character."""
    while begun and stop[begun] != character:
        begun = borders[begun - 1]
    return begun + (stop[begun] == character)


def _supported(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of ``chat``; every other field must be neutral."""
    given = _without_neutral(fields, NEUTRAL)
    if newer := given.pop("max_completion_tokens", None):
        given["max_tokens"] = newer
    for field, value in given.items():
        if field != "stop" and field not in RANGES:
            raise FieldRefused(field, f"is not supported, got {value!r:.80}")
    return given


def _without_neutral(fields: Mapping[str, Any], neutral: Neutral) -> dict[str, Any]:
    """Return the fields that ask for something: a null is as good as absent."""
    return {
        field: value
        for field, value in fields.items()
        if value is not None
        and not (field in neutral and ((same := neutral[field]) is None or value in same))
    }


def _without_nulls(fields: dict[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in fields.items() if value is not None}


def _turn(place: str, message: Mapping[str, Any]) -> dict[str, str]:
    """Return a message as chat templates know it: its role and its text."""
    given = _without_neutral(message, NEUTRAL_IN_MESSAGE)
    role = given.pop("role", None)
    if role not in ROLES:
        raise FieldRefused(f"{place}.role", f"is {role!r:.80}, expected one of {[*ROLES]}")
    content = given.pop("content", "" if role == "assistant" else None)
    for field in given:
        raise FieldRefused(f"{place}.{field}", "is not supported")
    return {"role": ROLES[role], "content": _text(f"{place}.content", content)}


def _turn_with_tools(place: str, message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message that may have calls, a result, or the tools of a system message."""
    kept = {field: message[field] for field in FIELDS_OF_TOOLS if message.get(field)}
    role = message.get("role")
    plain = {"role": "user" if role == "tool" else role, "content": message.get("content") or ""}
    return _turn(place, plain) | ({"role": "tool"} if role == "tool" else {}) | kept


def _text(place: str, content: Any) -> str:
    """Return the text of a content, which may be a list of text parts."""
    if isinstance(content, list) and content:
        parts = [_without_neutral(part, NEUTRAL_IN_PART) for part in content]
        for index, part in enumerate(parts):
            if part.pop("type", None) != "text" or part.keys() != {"text"}:
                raise FieldRefused(f"{place}.{index}", "is not supported, expected a text part")
            _check_text(f"{place}.{index}.text", part["text"])
        return "".join(part["text"] for part in parts)
    _check_text(place, content)
    return str(content)


def _check_text(place: str, text: Any) -> None:
    """Refuse NUL, at which the runtime would cut the prompt, and text that UTF-8 cannot encode."""
    if not isinstance(text, str) or "\0" in text:
        raise FieldRefused(place, f"is {text!r:.80}, expected a text without NUL characters")
    text.encode()


def _check_range(field: str, value: Any) -> None:
    least, most = RANGES[field]
    if value is not None and not (isinstance(value, (int, type(least))) and least <= value <= most):
        raise FieldRefused(field, f"is {value!r}, expected {least} to {most}")


set_model(OnnxGenaiModel())
