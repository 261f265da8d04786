"""The adapter of transformers that lets a source read the texts, in float32."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from slipway.errors import SourceRefused
from slipway.evaluation import logits as logits_module
from slipway.evaluation.logits import Ints, Logits, ReferenceLogits, Sequences
from slipway.evaluation.texts import Text
from slipway.values import Value

#: Tokens of one text that are read at most, so that a tokenizer that cuts small costs no hour.
_LONGEST = 512
#: Tokens of a conversation's answer.
_ANSWER = 24


class ReferenceRequest(Value):
    """What to read.

    Attributes:
        weights: A checkpoint in transformers' layout.
        texts: The texts.
        into: An empty folder for the notes.
    """

    weights: Path
    texts: tuple[Text, ...]
    into: Path


def read(request: ReferenceRequest) -> None:
    """Let a checkpoint read every text, answer every conversation, and write the notes of it.

    Raises:
        SourceRefused: If its tokenizer is not its own, or its logits are not finite.
    """
    source = _Source(request.weights)
    asked = [source.encode(text) for text in request.texts]
    token_ids = source.answered(asked, request.texts)
    passes = []
    for place, each in enumerate(token_ids, start=1):
        passes += list(source.passes(each))
        print(f"read {place} of {len(request.texts)} texts", flush=True)  # noqa: T201
    sequences = Sequences(
        token_ids=np.concatenate(token_ids),
        lengths=np.array([len(each) for each in token_ids], np.int32),
        asked=np.array([len(each) for each in asked], np.int32),
        groups=np.array([text.group for text in request.texts]),
    )
    kept = logits_module.join(part for part, _ in passes)
    if not kept.finite.all():
        raise SourceRefused("model.safetensors", "its logits are not finite", "use other weights")
    top_ids = np.concatenate([ids for _, ids in passes])
    logits_module.write(request.into, ReferenceLogits(sequences, kept, top_ids, source.vocabulary))


class _Source:
    """A checkpoint that is loaded."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        place = {"local_files_only": True, "trust_remote_code": False}
        self._tokenizer = AutoTokenizer.from_pretrained(folder, **place)
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **place)

    @cached_property
    def vocabulary(self) -> int:
        """How many token ids the tokenizer and the model both know."""
        known = max(self._tokenizer.get_vocab().values()) + 1
        return int(min(known, self._columns))

    @cached_property
    def _columns(self) -> int:
        """How many logits a position has, padding included."""
        return int(self._model.get_output_embeddings().weight.shape[0])

    @cached_property
    def _room(self) -> int:
        """Tokens that a text may have."""
        context = getattr(self._model.config, "max_position_embeddings", None)
        return min(context or _LONGEST, _LONGEST)

    def encode(self, text: Text) -> Ints:
        """Return the token ids of a text as the tokenizer gives them, with room for an answer."""
        room = self._room - (_ANSWER if text.messages else 0)
        token_ids = np.array(self._encoded(text)[:room], np.int32)
        if token_ids.max() >= self.vocabulary:
            rule = f"it gives token {token_ids.max()}, and the model has {self.vocabulary}"
            raise SourceRefused("tokenizer.json", rule, "use the model's own tokenizer")
        return token_ids

    def _encoded(self, text: Text) -> list[int]:
        if not text.messages:
            return list(self._tokenizer(text.content)["input_ids"])
        if not self._tokenizer.chat_template:
            told = "".join(f"{message.content}\n\n" for message in text.messages)
            return list(self._tokenizer(told)["input_ids"])
        messages = [message.model_dump() for message in text.messages]
        rendered = self._tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_dict=True
        )
        return list(rendered["input_ids"])

    def answered(self, asked: list[Ints], texts: tuple[Text, ...]) -> list[Ints]:
        """Return the token ids of every text, those of a conversation with the answer to it."""
        pairs = list(zip(asked, texts, strict=True))
        answers = iter(self._answers([token_ids for token_ids, text in pairs if text.messages]))
        return [
            np.append(token_ids, next(answers)) if text.messages else token_ids
            for token_ids, text in pairs
        ]

    def _answers(self, asked: list[Ints]) -> list[Ints]:
        """Return what greedy decoding adds to each, with the token that ends an answer.

        All are decoded side by side, which takes hardly longer than one.
        """
        import torch
        from transformers import GenerationConfig

        if not asked:
            return []
        # Not the model's own configuration, which may sample, or punish repetition
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

    def passes(self, token_ids: Ints) -> Iterator[tuple[Logits, Ints]]:
        """Yield the notes and the likeliest tokens of one pass, some rows at a time."""
        logits = self._logits(token_ids)
        targets = logits_module.following(token_ids)
        top = min(logits_module.TOP, self.vocabulary)
        for rows in logits_module.slices(len(token_ids)):
            top_ids = logits[rows].topk(top, dim=1).indices.numpy().astype(np.int32)
            yield logits_module.note(logits[rows].numpy(), top_ids, targets[rows]), top_ids

    def _logits(self, token_ids: Ints) -> Any:
        """Return the logits of the known tokens; shape (tokens, vocabulary)."""
        import torch

        with torch.inference_mode():
            given = self._model(torch.tensor(token_ids[None].astype(np.int64)), use_cache=False)
        return given.logits[0, :, : self.vocabulary]


def _until(token_ids: Ints, ends: int | list[int] | None) -> Ints:
    """Return the tokens up to the first that ends an answer; what follows it is padding."""
    found = np.flatnonzero(np.isin(token_ids, [] if ends is None else ends))
    return token_ids[: found[0] + 1] if len(found) else token_ids
