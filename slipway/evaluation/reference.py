"""The source's pass over the texts, in transformers and float32."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from slipway.errors import SourceRefused
from slipway.evaluation import logits as logits_module
from slipway.evaluation.logits import Ints, Logits, ReferenceLogits, Sequences
from slipway.sources import lengths
from slipway.sources.lengths import Lengths
from slipway.system.progress import report
from slipway.values import Text, Value

#: Most tokens of a text: a tokenizer without merges would make the pass take an hour.
_LONGEST = 512
#: Most tokens of the answer to a conversation.
_ANSWER = 24
#: Tokens of a long text beyond a limit of the model, and those at its end that are compared.
_BEYOND = 256
#: Most tokens of the text near the context's end, times the model's parameters: some ten seconds
#: on two cores. The texts beyond a window or LongRoPE's switch have no such limit.
_END_OPERATIONS = 280_000_000_000


class ReferenceRequest(Value):
    """A checkpoint in transformers' layout, the texts, and an empty folder for the logits."""

    weights: Path
    texts: tuple[Text, ...]
    into: Path


def read(request: ReferenceRequest) -> None:
    """Run a checkpoint on every text, let it answer every conversation, and write its logits.

    Raises:
        SourceRefused: If its tokenizer is of another model, or its logits are not finite.
    """
    source = _Source(request.weights)
    asked = [source.encode(text) for text in request.texts]
    token_ids = source.answered(asked, request.texts)
    texts = _sequences(token_ids, asked, [text.group for text in request.texts])
    found = lengths.read(request.weights)
    long = [np.resize(texts.token_ids, length) for length in long_lengths(found, source.parameters)]
    long_texts = _sequences(long, long, [f"{len(each)} of {found.context} tokens" for each in long])
    total = len(token_ids) + len(long)
    kept = _reading(source, texts, texts.lengths, 0, total)
    logits_module.write(request.into, kept)
    ends = np.minimum(long_texts.lengths, _BEYOND).astype(np.int32)
    kept = _reading(source, long_texts, ends, len(token_ids), total)
    logits_module.write(request.into, kept, logits_module.LONG_TEXTS)


def long_lengths(found: Lengths, parameters: int) -> tuple[int, ...]:
    """Return the lengths of the long texts, in tokens and in ascending order.

    One is beyond the window, one beyond LongRoPE's switch, and one ends with the context, or as
    near to its end as the time allows.
    """
    limits = [limit for limit in (found.window, found.rope_switch) if limit]
    beyond = {min(limit + _BEYOND, found.context) for limit in limits}
    end = min(found.context, max(_END_OPERATIONS // parameters, _LONGEST))
    return tuple(sorted({*beyond, end}))


def _sequences(token_ids: list[Ints], asked: list[Ints], groups: list[str]) -> Sequences:
    return Sequences(
        token_ids=np.concatenate(token_ids),
        lengths=np.array([len(each) for each in token_ids], np.int32),
        asked=np.array([len(each) for each in asked], np.int32),
        groups=np.array(groups),
    )


def _reading(
    source: "_Source", sequences: Sequences, noted: Ints, before: int, total: int
) -> ReferenceLogits:
    """Return the source's logits at the noted positions; ``before`` texts are read already."""
    passes: list[tuple[Logits, Ints]] = []
    pairs = zip(sequences, noted.tolist(), strict=True)
    for place, (token_ids, count) in enumerate(pairs, start=before + 1):
        passes += source.passes(token_ids, count)
        report(place / total, f"read {place} of {total} texts")
    logits = logits_module.join(part for part, _ in passes)
    if not logits.finite.all():
        raise SourceRefused("model.safetensors", "its logits are not finite", "use other weights")
    top_ids = np.concatenate([ids for _, ids in passes])
    return ReferenceLogits(sequences, logits, top_ids, noted, source.vocabulary)


class _Source:
    """A loaded checkpoint."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        place = {"local_files_only": True, "trust_remote_code": False}
        self._tokenizer = AutoTokenizer.from_pretrained(folder, **place)
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **place)

    @cached_property
    def vocabulary(self) -> int:
        """Number of token ids that both the tokenizer and the model know."""
        known = max(self._tokenizer.get_vocab().values()) + 1
        return int(min(known, self._columns))

    @cached_property
    def parameters(self) -> int:
        """Number of weights."""
        return int(self._model.num_parameters())

    @cached_property
    def _columns(self) -> int:
        """Number of logits of a position, padding included."""
        return int(self._model.get_output_embeddings().weight.shape[0])

    @cached_property
    def _longest(self) -> int:
        context = getattr(self._model.config, "max_position_embeddings", None)
        return min(context or _LONGEST, _LONGEST)

    def encode(self, text: Text) -> Ints:
        """Return the token ids of a text, cut so that an answer fits the context."""
        longest = self._longest - (_ANSWER if text.messages else 0)
        token_ids = np.array(self._encoded(text)[:longest], np.int32)
        if token_ids.max() >= self.vocabulary:
            rule = f"it gives token {token_ids.max()}, and the model has {self.vocabulary}"
            raise SourceRefused("tokenizer.json", rule, "use the model's own tokenizer")
        return token_ids

    def _encoded(self, text: Text) -> list[int]:
        if not text.messages:
            return list(self._tokenizer(text.content)["input_ids"])
        if not self._tokenizer.chat_template:
            contents = "".join(f"{message.content}\n\n" for message in text.messages)
            return list(self._tokenizer(contents)["input_ids"])
        messages = [message.model_dump() for message in text.messages]
        rendered = self._tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_dict=True
        )
        return list(rendered["input_ids"])

    def answered(self, asked: list[Ints], texts: tuple[Text, ...]) -> list[Ints]:
        """Return the token ids of every text; a conversation is followed by its answer."""
        pairs = list(zip(asked, texts, strict=True))
        answers = iter(self._answers([token_ids for token_ids, text in pairs if text.messages]))
        return [
            np.append(token_ids, next(answers)) if text.messages else token_ids
            for token_ids, text in pairs
        ]

    def _answers(self, asked: list[Ints]) -> list[Ints]:
        """Return the greedy answer to each, including the token that ends it.

        All are decoded in one batch, which takes hardly longer than one of them.
        """
        import torch
        from transformers import GenerationConfig

        if not asked:
            return []
        # The model's own configuration may sample or penalize repetition.
        ends = self._model.generation_config.eos_token_id
        greedy = GenerationConfig(
            max_new_tokens=_ANSWER,
            do_sample=False,
            eos_token_id=ends,
            pad_token_id=0,
            suppress_tokens=list(range(self.vocabulary, self._columns)) or None,
        )
        width = max(map(len, asked))
        prompts, mask = (np.zeros((len(asked), width), np.int64) for _ in range(2))
        for row, token_ids in enumerate(asked):
            prompts[row, width - len(token_ids) :] = token_ids
            mask[row, width - len(token_ids) :] = 1
        given = self._model.generate(
            torch.tensor(prompts), attention_mask=torch.tensor(mask), generation_config=greedy
        )
        return [_until(row, ends) for row in given[:, width:].numpy().astype(np.int32)]

    def passes(self, token_ids: Ints, noted: int) -> Iterator[tuple[Logits, Ints]]:
        """Yield the logits and the likeliest tokens of the last positions, some rows at a time."""
        logits = self._logits(token_ids, noted)
        targets = logits_module.following(token_ids)[-noted:]
        top = min(logits_module.TOP, self.vocabulary)
        for rows in logits_module.slices(noted):
            top_ids = logits[rows].topk(top, dim=1).indices.numpy().astype(np.int32)
            yield logits_module.note(logits[rows].numpy(), top_ids, targets[rows]), top_ids

    def _logits(self, token_ids: Ints, noted: int) -> Any:
        """Return the logits of the known tokens at the last positions; (noted, vocabulary)."""
        import torch

        whole = torch.tensor(token_ids[None].astype(np.int64))
        with torch.inference_mode():
            given = self._model(whole, use_cache=False, logits_to_keep=noted)
        return given.logits[0, -noted:, : self.vocabulary]


def _until(token_ids: Ints, ends: int | list[int] | None) -> Ints:
    """Return the tokens up to the first that ends an answer; padding follows."""
    found = np.flatnonzero(np.isin(token_ids, [] if ends is None else ends))
    return token_ids[: found[0] + 1] if len(found) else token_ids
