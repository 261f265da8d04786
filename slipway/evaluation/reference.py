"""The source's pass over the texts, in transformers and float32."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from slipway.errors import SourceRefused
from slipway.evaluation import logits as logits_module
from slipway.evaluation.logits import Ints, Logits, ReferenceLogits, Sequences
from slipway.evaluation.texts import Text
from slipway.system.progress import report
from slipway.values import Value

#: Most tokens of a text: a tokenizer without merges would make the pass take an hour.
_LONGEST = 512
#: Most tokens of the answer to a conversation.
_ANSWER = 24


class ReferenceRequest(Value):
    """What to read.

    Attributes:
        weights: A checkpoint in transformers' layout.
        texts: The texts.
        into: An empty folder for the logits.
    """

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
    passes = []
    for place, each in enumerate(token_ids, start=1):
        passes += list(source.passes(each))
        report(place / len(request.texts), f"read {place} of {len(request.texts)} texts")
    sequences = Sequences(
        token_ids=np.concatenate(token_ids),
        lengths=np.array([len(each) for each in token_ids], np.int32),
        asked=np.array([len(each) for each in asked], np.int32),
        groups=np.array([text.group for text in request.texts]),
    )
    logits = logits_module.join(part for part, _ in passes)
    if not logits.finite.all():
        raise SourceRefused("model.safetensors", "its logits are not finite", "use other weights")
    top_ids = np.concatenate([ids for _, ids in passes])
    logits_module.write(
        request.into, ReferenceLogits(sequences, logits, top_ids, source.vocabulary)
    )


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
    def _columns(self) -> int:
        """Number of logits of a position, padding included."""
        return int(self._model.get_output_embeddings().weight.shape[0])

    @cached_property
    def _longest(self) -> int:
        """Most tokens of a text."""
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

    def passes(self, token_ids: Ints) -> Iterator[tuple[Logits, Ints]]:
        """Yield the logits and the likeliest tokens of one pass, some rows at a time."""
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
    """Return the tokens up to the first that ends an answer; padding follows."""
    found = np.flatnonzero(np.isin(token_ids, [] if ends is None else ends))
    return token_ids[: found[0] + 1] if len(found) else token_ids
