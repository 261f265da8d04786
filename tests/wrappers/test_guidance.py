"""An answer matches the guidance of its request."""

import json
import re
from typing import Any

import pytest

SCHEMA = {
    "type": "object",
    "properties": {"ship": {"enum": ["brig", "sloop"]}},
    "required": ["ship"],
    "additionalProperties": False,
    "x-guidance": {"whitespace_flexible": False},
}


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("regex", "[0-9]{3}", r"[0-9]{3}"),
        ("json_schema", json.dumps(SCHEMA), r'\{"ship":"(brig|sloop)"\}'),
        ("lark_grammar", 'start: "aye " ("sir" | "captain")', "aye (sir|captain)"),
    ],
)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_answer_matches_its_guidance(
    model: Any, kind: str, text: str, expected: str, temperature: float
) -> None:
    """Of each kind, and sampled too; the answer ends where nothing can follow."""
    given = model.generate("Tell me a joke.", guidance=(kind, text), temperature=temperature)

    assert_matches(given, expected)


def assert_matches(given: Any, expected: str) -> None:
    """The whole answer matches, and it ended by itself."""
    assert re.fullmatch(expected, given.text)
    assert given.finish_reason == "stop"


def test_a_guided_answer_that_is_cut_says_so(model: Any) -> None:
    """At ``max_tokens`` the reason is ``length``."""
    given = model.generate("Hi", guidance=("regex", "[0-9]{50}"), max_tokens=5)

    assert given.finish_reason == "length"
    assert given.text.isdigit()


@pytest.mark.parametrize(
    "guidance", [("regex", "("), ("json_schema", '{"type": 5}'), ("json_schema", "no"), ("x", "a")]
)
def test_guidance_that_cannot_be_compiled_is_refused_at_once(model: Any, guidance: Any) -> None:
    """By name, before the prompt is read; the next request is answered."""
    with pytest.raises(ValueError, match=r"^guidance cannot be used: ") as refused:
        model.stream("Hi", guidance=guidance)

    assert (refused.value.param, refused.value.code) == ("guidance", "invalid_guidance")
    assert model.generate("Hi", max_tokens=2).completion_tokens == 2
