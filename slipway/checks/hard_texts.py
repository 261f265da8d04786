"""Texts on which tokenizers differ: written by hand, and generated with a fixed seed.

Those by hand come from public reports on tokenizers: letters that have several forms, scripts with
joined letters, runs of spaces, code, numbers, markup of several families, bytes as vocabularies
write them.
"""

import json
from functools import cache
from pathlib import Path
from random import Random
from typing import Literal
from unicodedata import normalize

_BY_HAND = Path(__file__).with_suffix(".json")

#: First and last code point of what generated texts are made of; no surrogates.
_BLOCKS = (
    *((0x01, 0x1F), (0x20, 0x7E), (0xA0, 0xFF), (0x100, 0x24F), (0x300, 0x36F), (0x370, 0x3FF)),
    *((0x400, 0x4FF), (0x590, 0x5FF), (0x600, 0x6FF), (0x900, 0x97F), (0xB80, 0xBFF)),
    *((0xE00, 0xE7F), (0x1100, 0x11FF), (0x1E00, 0x1EFF), (0x2000, 0x206F), (0x2190, 0x22FF)),
    *((0x3040, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xFB00, 0xFDFF), (0xFF00, 0xFFEF)),
    *((0x1D400, 0x1D7FF), (0x1F300, 0x1FAFF), (0xE0020, 0xE007F)),
)
_JOINTS = ("", "", " ", "  ", "\n", "\t", ", ", "\u2581", "\u200d", "\u0301", "0", "'s ")
_FORMS: tuple[Literal["NFC", "NFD", "NFKC", "NFKD"], ...] = ("NFC", "NFD", "NFKC", "NFKD")
_MOST_PIECES, _MOST_LETTERS = 5, 12


@cache
def hard_texts(count: int) -> tuple[str, ...]:
    """Return ``count`` different texts: those by hand, then generated ones, always the same.

    None has a NUL or half of a surrogate pair, which the wrappers refuse.
    """
    groups = json.loads(_BY_HAND.read_text(encoding="utf-8")).values()
    by_hand = [text for texts in groups for text in texts]
    random = Random(0)  # noqa: S311 - nothing secret
    found = dict.fromkeys(by_hand)
    while len(found) < count:
        found[_generated(random, by_hand) or " "] = None
    return tuple(found)[:count]


def _generated(random: Random, by_hand: list[str]) -> str:
    """Return a few pieces, every second time in another normal form."""
    count = random.randint(1, _MOST_PIECES)
    text = "".join(_piece(random, by_hand) + random.choice(_JOINTS) for _ in range(count))
    return random.choice((text, normalize(random.choice(_FORMS), text)))


def _piece(random: Random, by_hand: list[str]) -> str:
    """Return a text by hand, a part of one, or letters of one block."""
    text = random.choice(by_hand)
    start, end = sorted(random.randint(0, len(text)) for _ in range(2))
    first, last = random.choice(_BLOCKS)
    count = random.randint(1, _MOST_LETTERS)
    letters = "".join(chr(random.randint(first, last)) for _ in range(count))
    return random.choice((text, text[start:end], text[::-1], text.upper(), letters, letters))
