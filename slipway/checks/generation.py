"""Generates with the pipeline of a transformers wrapper, as its model itself does."""

from collections.abc import Iterator
from typing import Any, NamedTuple


class GeneratedText(NamedTuple):
    """One answer.

    Attributes:
        stopped: Whether an end token ended it.
        tokens: New tokens, with the end token.
    """

    text: str
    stopped: bool
    tokens: int


def generate(pipeline: Any, text: str, **how: Any) -> Iterator[GeneratedText]:
    """Yield what follows a text, which is a prompt with all its markup.

    Args:
        pipeline: Of a loaded transformers wrapper.
        text: The prompt.
        **how: Arguments of the model's ``generate``; several sequences are one batch.
    """
    given = pipeline.tokenizer(text, add_special_tokens=False, return_tensors="pt")
    ends = pipeline.model.generation_config.eos_token_id
    known = {ends} if isinstance(ends, int) else {*(ends or ())}
    inputs = {"input_ids": given["input_ids"], "attention_mask": given["attention_mask"]}
    asked = given["input_ids"].shape[1]
    for row in pipeline.model.generate(**inputs, **how)[:, asked:].tolist():
        end = next((place for place, token_id in enumerate(row) if token_id in known), None)
        kept = row if end is None else row[: end + 1]  # padding follows
        yield GeneratedText(
            text=pipeline.tokenizer.decode(kept, skip_special_tokens=True),
            stopped=end is not None,
            tokens=len(kept),
        )
