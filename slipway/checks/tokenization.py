"""What a loaded wrapper makes of texts and of tokens, read from the wrapper itself.

What cannot be read is left out and not guessed; the wrappers are then not comparable.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from slipway.checks.hard_texts import hard_texts
from slipway.values import RUN_TOKENS, Text, TokenizedText, Tokens, WrapperKind

#: Hard texts of one comparison, which takes about a second. The tests compare ten times as many.
HARD_TEXTS = 1_000


class _Tokenizer(NamedTuple):
    """The two directions of a wrapper, and the number of tokens that it knows."""

    encode: Callable[[str], Sequence[int]]
    decode: Callable[[Sequence[int]], str]
    size: int


def corpus(texts: Iterable[Text]) -> tuple[str, ...]:
    """Return the texts to compare: all of an entry, turn by turn, and the hard ones."""
    contents = (
        content
        for text in texts
        for content in (text.content, *(message.content for message in text.messages))
    )
    return tuple(dict.fromkeys((*filter(None, contents), *hard_texts(HARD_TEXTS))))


def tokens(model: Any, kind: WrapperKind, texts: Sequence[str]) -> Tokens | None:
    """Return what the wrapper makes of ``texts`` and of every token that it knows.

    Args:
        model: A wrapper as MLflow loads it.
        kind: The wrapper's kind.
        texts: What to encode.

    Returns:
        None if there are no texts, or if the wrapper cannot be read.
    """
    try:
        tokenizer = _onnx(model) if kind == "onnx" else _transformers(model)
    except (AttributeError, NotImplementedError):
        return None
    if not texts:
        return None
    starts = range(0, tokenizer.size, RUN_TOKENS)  # unknown tokens at the end have no text
    return Tokens(
        texts=tuple(_tokenized(tokenizer, text) for text in texts),
        runs=tuple(_decoded(tokenizer, range(start, start + RUN_TOKENS)) for start in starts),
    )


def _tokenized(tokenizer: _Tokenizer, text: str) -> TokenizedText | None:
    try:
        token_ids = tuple(map(int, tokenizer.encode(text)))
    except Exception as error:  # noqa: BLE001 - a wrapper may raise anything
        print(f"{text!a:.80} cannot be encoded: {error}", flush=True)  # noqa: T201 - to the log
        return None
    return TokenizedText(
        token_ids=token_ids,
        decoded=_decoded(tokenizer, token_ids),
        reversed=_decoded(tokenizer, token_ids[::-1]),
    )


def _decoded(tokenizer: _Tokenizer, token_ids: Sequence[int]) -> str | None:
    try:
        return tokenizer.decode(token_ids)
    except Exception as error:  # noqa: BLE001 - a wrapper may raise anything
        print(f"{token_ids} cannot be decoded: {error}", flush=True)  # noqa: T201 - to the log
        return None


def _onnx(model: Any) -> _Tokenizer:
    wrapper = model.unwrap_python_model()
    return _Tokenizer(wrapper.encode, wrapper.decode, wrapper.known_tokens)


def _transformers(model: Any) -> _Tokenizer:
    """Read the pipeline's tokenizer as MLflow 3.17's transformers flavor uses it.

    The flavor also lets transformers remove spaces before punctuation, which does nothing for BPE
    (``clean_up_tokenization_spaces``). Spaces are ignored where answers are compared.
    """
    tokenizer = model.get_raw_model().tokenizer

    def encode(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    def decode(token_ids: Sequence[int]) -> str:
        plain = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
        return str(tokenizer.decode([*token_ids], **plain))

    return _Tokenizer(encode, decode, len(tokenizer))
