"""The adapter of transformers that lets a source read the texts, in float32."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from slipway.errors import SourceRefused
from slipway.fidelity import notes
from slipway.fidelity.notes import Ints, Notes, Sequences, SourceNotes
from slipway.fidelity.texts import Text
from slipway.values import Value

#: Tokens of one text that are read at most, so that a tokenizer that cuts small costs no hour.
_LONGEST = 512
#: Tokens of a conversation's answer.
_ANSWER = 24


class Request(Value):
    """What to read.

    Attributes:
        weights: A checkpoint in transformers' layout.
        texts: The texts.
        into: An empty folder for the notes.
    """

    weights: Path
    texts: tuple[Text, ...]
    into: Path


def read(request: Request) -> None:
    """Let a checkpoint read every text, answer every conversation, and write the notes of it.

    Raises:
        SourceRefused: If its tokenizer is not its own, or its logits are not finite.
    """
    source = _Source(request.weights)
    texts, passes = [], []
    for place, text in enumerate(request.texts, start=1):
        asked = source.encode(text)
        token_ids = np.append(asked, source.answer(asked)) if text.messages else asked
        texts.append((text.group, asked, token_ids))
        passes += list(source.passes(token_ids))
        print(f"read {place} of {len(request.texts)} texts", flush=True)  # noqa: T201
    sequences = Sequences(
        token_ids=np.concatenate([token_ids for _, _, token_ids in texts]).astype(np.int32),
        lengths=np.array([len(token_ids) for _, _, token_ids in texts], np.int32),
        asked=np.array([len(asked) for _, asked, _ in texts], np.int32),
        groups=np.array([group for group, _, _ in texts]),
    )
    kept = notes.join(part for part, _ in passes)
    if not kept.finite.all():
        raise SourceRefused("model.safetensors", "its logits are not finite", "use other weights")
    top_ids = np.concatenate([ids for _, ids in passes])
    notes.write(request.into, SourceNotes(sequences, kept, top_ids, source.vocabulary))


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
        return int(min(known, self._model.get_output_embeddings().weight.shape[0]))

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

    def answer(self, asked: Ints) -> Ints:
        """Return the tokens that greedy decoding adds, the one that ends an answer included."""
        import torch
        from transformers import GenerationConfig

        # Not the model's own configuration, which may sample, or punish repetition
        greedy = GenerationConfig(
            max_new_tokens=_ANSWER,
            do_sample=False,
            eos_token_id=self._model.generation_config.eos_token_id,
            pad_token_id=0,
        )
        prompt = torch.tensor(asked[None].astype(np.int64))
        given = self._model.generate(
            prompt, attention_mask=torch.ones_like(prompt), generation_config=greedy
        )
        return given[0, len(asked) :].numpy().astype(np.int32)  # type: ignore[no-any-return]

    def passes(self, token_ids: Ints) -> Iterator[tuple[Notes, Ints]]:
        """Yield the notes and the likeliest tokens of one pass, some rows at a time."""
        logits = self._logits(token_ids)
        targets = notes.following(token_ids)
        top = min(notes.TOP, self.vocabulary)
        for rows in notes.slices(len(token_ids)):
            top_ids = logits[rows].topk(top, dim=1).indices.numpy().astype(np.int32)
            yield notes.note(logits[rows].numpy(), top_ids, targets[rows]), top_ids

    def _logits(self, token_ids: Ints) -> Any:
        """Return the logits of the known tokens; shape (tokens, vocabulary)."""
        import torch

        with torch.inference_mode():
            given = self._model(torch.tensor(token_ids[None].astype(np.int64)), use_cache=False)
        return given.logits[0, :, : self.vocabulary]
