"""Which texts may come in, and how foreign ones are shown: nothing in them is obeyed."""

import re

from slipway.errors import TextRefused

_CONTROL = r"\x00-\x08\x0b-\x1f\x7f-\x9f"
_DIRECTION = r"\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069"
_HALVES, _TAGS = r"\ud800-\udfff", r"\U000e0000-\U000e007f"

_NAME_CHARACTERS, _PLACE_CHARACTERS = 80, 300
#: A name and the place that it is in: written out for an error alone, since a name may be long.
_Place = tuple[str, "_Place | None"]

#: What a terminal obeys and a reader does not see; line ends and tabs are not among them.
UNSEEN = re.compile(f"[{_CONTROL}{_DIRECTION}{_HALVES}{_TAGS}]")


def printable(text: str) -> str:
    """Return a foreign text with a replacement character for each that nobody would see."""
    return UNSEEN.sub("\ufffd", text)


def require_text(what: str, value: object) -> None:
    """Refuse half a character: JavaScript cuts an emoji in two, a shell passes broken bytes on.

    Python keeps it as a lone surrogate, and whatever encodes the text later fails.

    Args:
        what: Name of the option, field or document, for the error.
        value: A text, or a document as JSON has them; its names and all of its texts are checked.

    Raises:
        TextRefused: With the place of the first text that cannot be encoded.
    """
    below: list[tuple[_Place, object]] = [((what, None), value)]
    while below:
        place, each = below.pop()
        if isinstance(each, str):
            _require_encodable(place, each)
        elif isinstance(each, dict):
            for name in each:
                _require_encodable(place, str(name))
            below += [((str(name), place), item) for name, item in each.items()]
        elif isinstance(each, list | tuple):
            below += [((str(number), place), item) for number, item in enumerate(each)]


def _require_encodable(place: "_Place", text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TextRefused(_shown(place), error.start) from error


def _shown(place: "_Place | None") -> str:
    names = []
    while place:
        name, place = place
        names.append(name[:_NAME_CHARACTERS])
    return ".".join(reversed(names))[:_PLACE_CHARACTERS]
