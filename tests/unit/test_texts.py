"""Text that cannot be encoded is refused where it comes in."""

import tracemalloc

import pytest

from slipway.errors import TextRefused
from slipway.validation.texts import require_text
from tasks.context import audit_info

HALF = "a\ud83d"


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (HALF, "body"),
        ({"messages": [{"role": "user", "content": HALF}]}, "body.messages.0.content"),
        ({"stop": ["ok", HALF]}, "body.stop.1"),
        ({"tools": {HALF: 1}}, "body.tools"),
    ],
)
def test_half_a_character_is_refused_with_its_place(value: object, place: str) -> None:
    """A caller learns which of its texts to correct; the error itself can be encoded."""
    with pytest.raises(TextRefused) as refused:
        require_text("body", value)

    expected = f"{place}: character 1 is half a character (a lone surrogate); send whole ones"
    assert str(refused.value) == expected


def test_whole_characters_pass_at_any_depth() -> None:
    """An emoji is two surrogates in JSON and one character here; depth is no problem."""
    document: object = ["😀 é\n", None, 1.5, True]
    for _ in range(5000):
        document = [document]

    require_text("body", document)


def test_the_check_takes_memory_in_proportion_to_the_document() -> None:
    """A long name above many values is written out for none of them."""
    document = {"n" * 100_000: [""] * 10_000}
    tracemalloc.start()

    require_text("body", document)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    with pytest.raises(TextRefused) as refused:
        require_text("body", {"n" * 100_000: HALF})

    assert peak_bytes < 10_000_000
    assert len(str(refused.value)) < 400


def test_a_reason_with_half_a_character_never_reaches_the_record() -> None:
    """A shell passes bytes that are not UTF-8 as lone surrogates."""
    with pytest.raises(TextRefused, match=r"^reason: character 1"):
        audit_info("a\udcff")


@pytest.mark.parametrize("field", ["model", "ref", "reason"])
def test_a_form_with_half_a_character_is_refused_before_its_run_does_anything(field: str) -> None:
    """JSON can hold it; Prefect validates the parameters when the run begins."""
    from flows.release_model import release_model

    with pytest.raises(TextRefused, match=rf"^{field}: character 2 is half a character"):
        release_model.validate_parameters({"model": "tiny", field: "no\ud83d"})
