"""Every error survives a process border, says whether to try again, and is drawn in the tree."""

import pickle
import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest

from slipway import errors
from slipway.errors import CatalogueInvalid, SlipwayError

#: Values for fields, by their annotation.
SAMPLES: dict[Any, Any] = {
    str: "a text",
    int: 3_000_000_000,
    float: 60.5,
    str | None: None,
    tuple[str, ...]: ("one", "two"),
}
DRAWN = re.compile(
    r"^ *[│├└─ ]*[├└]── (?P<name>\w+)(?: +(?P<exit>\d)\b)?(?: +(?P<retry>stop|retry)\b)?"
)


def kinds(root: type[SlipwayError] = SlipwayError) -> Iterator[type[SlipwayError]]:
    """Yield every error below ``root``, whichever module defines it."""
    for kind in root.__subclasses__():
        yield kind
        yield from kinds(kind)


def raisable() -> list[type[SlipwayError]]:
    """Return the errors that are raised, which are the leaves of the tree."""
    return [kind for kind in kinds() if not kind.__subclasses__()]


def sample(kind: type[SlipwayError]) -> SlipwayError:
    """Return an error of this kind."""
    return kind(*(SAMPLES[field.type] for field in fields(kind)))


def drawn() -> dict[str, tuple[str, int, bool]]:
    """Return what the module's text draws: parent, exit code and retry word of each error.

    A code or a word that stands at a branch holds for all that hangs on it.
    """
    found: dict[str, tuple[str, int, bool]] = {}
    path: list[tuple[int, str, str | None, str | None]] = [(-1, "SlipwayError", None, None)]
    for line in (errors.__doc__ or "").splitlines():
        match = DRAWN.match(line)
        if not match:
            continue
        depth = match.start("name")
        while path[-1][0] >= depth:
            path.pop()
        _, parent, exit_code, retry = path[-1]
        exit_code, retry = match["exit"] or exit_code, match["retry"] or retry
        path.append((depth, match["name"], exit_code, retry))
        found[match["name"]] = (parent, int(exit_code or -1), retry == "retry")
    return found


def test_the_tree_that_is_drawn_is_the_tree_that_is() -> None:
    """Each error hangs where it is drawn, with its exit code and its retry word."""
    actual = {
        kind.__name__: (kind.__bases__[0].__name__, kind.exit_code, kind.retryable)
        for kind in kinds()
    }

    assert actual == drawn()


def test_every_error_is_defined_in_one_module() -> None:
    """A child process looks there for what to raise again."""
    assert {kind.__module__ for kind in kinds()} == {errors.__name__}


@pytest.mark.parametrize("kind", raisable())
def test_an_error_survives_a_process_border(kind: type[SlipwayError]) -> None:
    """Its type, its fields and its text are the same behind it."""
    error = sample(kind)

    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert type(copy) is kind
    assert vars(copy) == vars(error)
    assert str(copy) == str(error)


@pytest.mark.parametrize("kind", raisable())
def test_an_errors_text_is_its_own_and_one_line(kind: type[SlipwayError]) -> None:
    """A log shows it whole; a catalogue's faults have a line each."""
    text = str(sample(kind))

    assert "__str__" in vars(kind)
    assert text.count("\n") == (2 if kind is CatalogueInvalid else 0)
    assert "None" not in text
    assert "()" not in text


@pytest.mark.parametrize("kind", raisable())
def test_an_errors_text_holds_what_it_is_about(kind: type[SlipwayError]) -> None:
    """No field that is text is left out, or it would not be worth carrying."""
    error = sample(kind)

    texts = [field for field in fields(kind) if field.type is str]
    assert str(error).count("a text") == len(texts)
