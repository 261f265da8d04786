"""Which forms of an answer a request may ask for, without a model."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from slipway.serving.api_errors import Unsupported
from slipway.serving.json_schemas import DEPTH, enforceable, require_small
from slipway.serving.requests import ChatRequest
from tests.support.answer_schemas import SCHEMAS

MESSAGES = [{"role": "user", "content": "Which port?"}]
_IN_GRAMMAR = "guided_grammar.%json.items.minItems"
PORT = {"type": "object", "properties": {"port": {"type": "string"}}, "required": ["port"]}


def guidance(**fields: Any) -> tuple[str, str] | None:
    """Return the guidance of a request with these fields."""
    request = ChatRequest.model_validate({"model": "tiny", "messages": MESSAGES} | fields)
    return request.order(default=8, limit=8, support=None).guidance


def place(**fields: Any) -> str | None:
    """Return the place that a refusal names."""
    with pytest.raises(ValidationError) as refused:
        guidance(**fields)
    return refused.value.errors()[0]["ctx"]["error"].param  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_that_users_send_are_accepted(name: str) -> None:
    """And nothing but white space, unknown formats and false keywords is changed."""
    taken = enforceable(SCHEMAS[name], "schema")

    assert taken["x-guidance"]["whitespace_flexible"] is False
    unchanged = {key: value for key, value in taken.items() if key != "x-guidance"}
    assert unchanged == SCHEMAS[name] or name == "an unknown format"


@pytest.mark.parametrize(
    ("schema", "where"),
    [
        ({"properties": {"a": 5}}, "properties.a"),
        ({"properties": []}, "properties"),
        ({"anyOf": []}, "anyOf"),
        ({"anyOf": [{}, {"not": {}}]}, "anyOf.1.not"),
        ({"items": {"uniqueItems": True}}, "items.uniqueItems"),
        ({"$defs": {"a": {"$ref": "https://example.org/a"}}}, "$defs.a.$ref"),
        ({"patternProperties": 5}, "patternProperties"),
        ({"items": {"patternProperties": None}}, "items.patternProperties"),
        ({"unevaluatedProperties": False}, "unevaluatedProperties"),
        ({"required": "a"}, "required"),
        ({"minItems": 1e9}, "minItems"),
        ({"minLength": "5"}, "minLength"),
        ({"maxItems": True}, "maxItems"),
        ({"pattern": "(a{100}){100}"}, "pattern"),
        ({"patternProperties": {"((a{9}){99}){99}": {}}}, "patternProperties.((a{9}){99}){99}"),
    ],
)
def test_a_schema_is_refused_with_the_place_of_its_fault(schema: Any, where: str) -> None:
    """Before the runtime sees it: that has no limits for numbers, and names no places."""
    with pytest.raises(Unsupported) as refused:
        enforceable(schema, "schema")

    assert refused.value.param == f"schema.{where}"


def test_a_deep_schema_and_a_large_one_are_refused() -> None:
    """As the depth and the size say."""
    deep: Any = {}
    for _ in range(DEPTH):
        deep = {"items": deep}
    for schema in (deep, {"description": "x" * 70_000}, {"items": [{"maxItems": 6000}] * 2}):
        with pytest.raises(Unsupported):
            enforceable(schema, "schema")


@pytest.mark.parametrize(
    "pattern",
    [r"^[A-Z]{3}-\d{2,4}$", r"(\w{1,20} ){1,20}", r"[a{9}]{9}", r"\{99999\}", r"(a|b)+", ")(", "{"],
)
def test_usual_patterns_are_small(pattern: str) -> None:
    """Also those with braces and brackets that are characters."""
    require_small(pattern, "pattern")


def test_what_asks_for_nothing_is_left_out() -> None:
    """Clients send ``uniqueItems: false``; no format is an object; the runtime has options."""
    given = {"type": "array", "uniqueItems": False, "x-guidance": {"lenient": True}, "format": {}}

    taken = enforceable(given, "schema")

    assert taken.keys() == {"type", "x-guidance"}
    assert "lenient" not in taken["x-guidance"]


def test_each_field_becomes_guidance_of_its_kind() -> None:
    """OpenAI's, and those of vLLM before and after they were renamed."""
    form = {"type": "json_schema", "json_schema": {"name": "port", "schema": PORT, "strict": True}}
    schema = ("json_schema", json.dumps(enforceable(PORT, "")))

    assert guidance(response_format=form) == schema
    assert guidance(guided_json=PORT) == guidance(guided_json=json.dumps(PORT)) == schema
    assert guidance(structured_outputs={"json": PORT}) == schema
    assert guidance(guided_regex="a|b") == ("regex", "a|b")
    for grammar in ('start: "a"', f'start: "a" x\nx: %json {json.dumps(PORT)}\n'):
        assert guidance(guided_grammar=grammar) == ("lark_grammar", grammar)
    choice = guidance(guided_choice=["ja", 'n"ein'])
    assert choice == ("lark_grammar", 'start: "ja" | "n\\"ein"\n')
    assert guidance(response_format={"type": "text"}) is None


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"guided_regex": "a", "guided_choice": ["b"]}, "guided_choice"),
        ({"guided_choice": [""]}, "guided_choice"),
        ({"guided_json": "{"}, "guided_json"),
        ({"guided_regex": "a{9999}"}, "guided_regex"),
        ({"guided_grammar": 'start: "a"{9999}'}, "guided_grammar.1"),
        ({"guided_grammar": 'start: x\nx: %json\n{"items": {"minItems": 1e9}}'}, _IN_GRAMMAR),
        ({"guided_grammar": 'start: %json {"type": "array"'}, "guided_grammar.%json"),
        ({"structured_outputs": {"structural_tag": "x"}}, "structured_outputs.structural_tag"),
        ({"response_format": {"type": "json_schema"}}, "json_schema"),
        (
            {"guided_json": PORT, "response_format": {"type": "json_object"}},
            "response_format",
        ),
    ],
)
def test_other_forms_are_refused_by_name(fields: Any, where: str) -> None:
    """No request is answered in part."""
    assert place(**fields) == where
