"""Stop strings end an answer before they begin, wherever the tokens' borders are."""

from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tiny_phi3 import CONVERSATIONS

JOKE = "Tell me a joke."
WHOLE = CONVERSATIONS[JOKE]

PIECES = st.lists(st.text("ab ", max_size=3), max_size=12)
STOPS = st.lists(st.text("ab ", min_size=1, max_size=5), min_size=1, max_size=3)


def shown_of(wrapper: ModuleType, pieces: list[str], stop: list[str]) -> tuple[list[str], bool]:
    """Push ``pieces`` through the filter as the wrapper does; return what shows."""
    found, shown = wrapper.StopFilter(stop), []
    for piece in pieces:
        text, stopped = found.push(piece)
        shown.append(text)
        if stopped:
            return shown, True
        assert found.held == "" or any(each.startswith(found.held) for each in stop)
    return [*shown, found.held], False


@given(pieces=PIECES, stop=STOPS)
def test_no_part_of_a_stop_string_is_ever_shown(
    wrapper: ModuleType, pieces: list[str], stop: list[str]
) -> None:
    """What shows is the text before a stop string, or all of it when there is none.

    Nothing is held back unless it may begin a stop string.
    """
    shown, stopped = shown_of(wrapper, pieces, stop)
    text = "".join(pieces)

    assert any(each in text for each in stop) == stopped
    assert not any(each in "".join(shown) for each in stop)
    if stopped:
        after = text.removeprefix("".join(shown))
        assert text.startswith("".join(shown))
        assert any(after.startswith(each) for each in stop)
    else:
        assert text == "".join(shown)


def test_an_answer_takes_time_linear_in_its_length(wrapper: ModuleType) -> None:
    """Whatever the stop strings: each character is compared with two of theirs on average."""

    class Counted(str):  # noqa: SLOT000 - it counts on the class
        comparisons = 0

        def __getitem__(self, index: Any) -> str:
            Counted.comparisons += 1
            return str.__getitem__(self, index)

    stop = Counted("a" * (wrapper.STOP_CHARACTERS - 1) + "b")
    found = wrapper.StopFilter([stop])
    Counted.comparisons = 0

    for _ in range(100):
        found.push("a" * 50 + "c")

    assert Counted.comparisons < 4 * 100 * 51


@pytest.mark.parametrize("stop", ["harbour? It", "It was", "p", "W", "!"])
def test_an_answer_ends_before_its_stop_string(model: Any, stop: str) -> None:
    """The stop string may span tokens, begin within one, or be the answer's first letter."""
    answer = model.generate(JOKE, stop=stop)

    assert WHOLE[: WHOLE.index(stop)] == answer.text
    assert answer.finish_reason == "stop"
    assert answer.completion_tokens <= len(model.encode(WHOLE))


def test_the_first_of_several_stop_strings_counts(model: Any) -> None:
    """Their order in the request does not matter."""
    answer = model.generate(JOKE, stop=["tired", "never", "ship"])

    assert WHOLE[: WHOLE.index("ship")] == answer.text


def test_what_only_looks_like_a_stop_string_is_shown_in_the_end(model: Any) -> None:
    """A held back beginning is released by the end of the text and by the end of the tokens."""
    ended = model.generate(JOKE, stop=["waves!?"])
    cut = model.generate(JOKE, stop=["Why did there"], max_tokens=5)

    assert (ended.text, ended.finish_reason) == (WHOLE, "stop")
    assert (cut.text, cut.finish_reason) == ("Why did the", "length")


def test_a_stream_never_shows_a_part_of_a_stop_string(model: Any) -> None:
    """At no moment does the shown text end in what later proves to be the stop string."""
    pieces = [piece.text for piece in model.stream(JOKE, stop=["stay in the harbour"])]

    assert "".join(pieces) == "Why did the ship "
