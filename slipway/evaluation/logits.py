"""The logits of a model over the texts, reduced to the likeliest tokens and the sum of the rest.

A row of logits has as many numbers as the vocabulary has tokens; for five thousand tokens of text
that is a gigabyte. So for each position, a source's ``TOP`` likeliest tokens are stored, and the
logarithm of the summed exponentials of all others. For an artifact, the same tokens are stored.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]

#: How many of the source's likeliest tokens are stored at each position; see docs/fidelity.md.
TOP = 128
#: Files of a reading: the texts, and the long texts.
TEXTS, LONG_TEXTS = "reading.npz", "long.npz"
_ROWS = 128  # of logits that are processed at once


@dataclass(frozen=True)
class Logits:
    """Reduced logits of the next token, at each position of the texts.

    Attributes:
        likeliest: Its likeliest token; shape (positions,).
        top: Logits of the source's likeliest tokens; shape (positions, top).
        rest: Logarithm of the summed exponentials of all other logits; shape (positions,).
        target: Logit of the token that follows, NaN at the end of a text; shape (positions,).
        finite: Whether all of its logits were finite; shape (positions,).
    """

    likeliest: Ints
    top: Floats
    rest: NDArray[np.float64]
    target: Floats
    finite: NDArray[np.bool_]


@dataclass(frozen=True)
class Sequences:
    """The texts as tokens.

    Attributes:
        token_ids: All of them, text after text; shape (positions,).
        lengths: Tokens of each text; shape (texts,).
        asked: Tokens of each text before the source's own answer, all of them if it has none;
            shape (texts,).
        groups: Kind of each text; shape (texts,).
    """

    token_ids: Ints
    lengths: Ints
    asked: Ints
    groups: NDArray[np.str_]

    def __iter__(self) -> Iterator[Ints]:
        """Yield the token ids of one text after the other."""
        return iter(np.split(self.token_ids, np.cumsum(self.lengths)[:-1]))


@dataclass(frozen=True)
class ReferenceLogits:
    """A source's logits over the texts, with all that an artifact needs to repeat the pass.

    Attributes:
        sequences: The texts.
        notes: The source's logits.
        top_ids: Its likeliest tokens, the likeliest first; shape (positions, top).
        noted: How many positions at the end of each text have logits; shape (texts,).
        vocabulary: Number of token ids; further columns of a model are padding.
    """

    sequences: Sequences
    notes: Logits
    top_ids: Ints
    noted: Ints
    vocabulary: int

    @property
    def compared(self) -> Sequences:
        """The texts as far as they have logits, for figures; all of them if they have no answer."""
        return replace(self.sequences, lengths=self.noted, asked=self.noted)


def note(logits: Floats, top_ids: Ints, token_ids: Ints) -> Logits:
    """Reduce a few rows of logits.

    Args:
        logits: Shape (rows, vocabulary).
        top_ids: The source's likeliest tokens there; shape (rows, top).
        token_ids: The token that follows each row, and -1 for none; shape (rows,).
    """
    top = np.take_along_axis(logits, top_ids, axis=1)
    target = np.take_along_axis(logits, np.maximum(token_ids, 0)[:, None], axis=1)[:, 0]
    peak = logits.max(axis=1)
    with np.errstate(all="ignore"):  # non-finite rows are marked below
        weights = np.exp(logits - peak[:, None])
        np.put_along_axis(weights, top_ids, 0, axis=1)
        rest = np.log(weights.sum(axis=1, dtype=np.float64)) + peak
    return Logits(
        likeliest=logits.argmax(axis=1).astype(np.int32),
        top=top.astype(np.float32),
        rest=rest,
        target=np.where(token_ids < 0, np.nan, target).astype(np.float32),
        finite=np.isfinite(peak) & np.isfinite(logits.min(axis=1)),
    )


def following(token_ids: Ints) -> Ints:
    """Return the token that follows each of ``token_ids``, and -1 for the last."""
    return np.append(token_ids[1:], -1).astype(np.int32)


def join(parts: Iterable[Logits]) -> Logits:
    """Return the logits of all parts, in order."""
    every = list(parts)
    names = [field.name for field in fields(Logits)]
    return Logits(
        **{name: np.concatenate([getattr(part, name) for part in every]) for name in names}
    )


def slices(count: int) -> Iterator[slice]:
    """Yield the rows to process at once, so that a text's logits are not in memory twice."""
    return (slice(start, start + _ROWS) for start in range(0, count, _ROWS))


def write(folder: Path, kept: ReferenceLogits, name: str = TEXTS) -> None:
    """Write a source's logits into ``folder``."""
    parts = {**vars(kept.sequences), **vars(kept.notes), "noted": kept.noted}
    np.savez(folder / name, **parts, top_ids=kept.top_ids, vocabulary=np.int32(kept.vocabulary))


def load(folder: Path, name: str = TEXTS) -> ReferenceLogits:
    """Read what :func:`write` wrote."""
    with np.load(folder / name, allow_pickle=False) as file:
        sequences, kept = _part(file, Sequences), _part(file, Logits)
        counts = file["noted"], int(file["vocabulary"])
        return ReferenceLogits(sequences, kept, file["top_ids"], *counts)


def load_sequences(folder: Path) -> Sequences:
    """Read only the texts of what :func:`write` wrote."""
    with np.load(folder / TEXTS, allow_pickle=False) as file:
        return _part(file, Sequences)


def _part(file: Mapping[str, Any], kind: type[T]) -> T:
    names = (field.name for field in fields(cast(Any, kind)))
    return kind(**{name: file[name] for name in names})
