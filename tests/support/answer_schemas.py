"""Fifty JSON schemas of the kinds that users send; a short answer fits each of them."""

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]


def _object(**properties: Schema) -> Schema:
    """Return the schema of an object with these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }


def _array(items: Schema, least: int, most: int) -> Schema:
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


def _text(most: int, **limits: Any) -> Schema:
    return {"type": "string", "maxLength": most} | limits


def _integer(least: int, most: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most}


_YES = {"type": "boolean"}
_CITY = _text(12, minLength=1)
_POINT = _object(x=_integer(-9, 9), y=_integer(-9, 9))
_MAST = {"$ref": "#/$defs/mast"}

SCHEMAS: Mapping[str, Schema] = {
    # Flat objects
    "one truth": _object(safe=_YES),
    "a ship": _object(name=_text(10), masts=_integer(1, 5)),
    "a person": _object(name=_CITY, age=_integer(0, 130), sails=_YES),
    "an optional field": {**_object(name=_CITY, nick=_text(5)), "required": ["name"]},
    "titles and descriptions": {
        "title": "Port",
        "description": "Where ships lie.",
        **_object(name={"title": "Name", "description": "Its name", **_CITY}),
    },
    "defaults and examples": _object(depth={**_integer(0, 90), "default": 5, "examples": [3]}),
    "null alone": _object(nothing={"type": "null"}),
    "a nullable text": _object(note={"type": ["string", "null"], "maxLength": 8}),
    "other fields of one kind": {
        **_object(a=_YES),
        "additionalProperties": {"type": "integer", "minimum": 0, "maximum": 9},
        "maxProperties": 3,
    },
    "a name with spaces": _object(**{"home port": _CITY, "crew (total)": _integer(0, 99)}),
    # Choices
    "an enum": _object(rig={"enum": ["brig", "sloop", "cutter"]}),
    "an enum of numbers": _object(size={"enum": [1, 2.5, 100]}),
    "an enum of kinds": _object(any={"enum": ["a", 1, None, True]}),
    "an enum of one": _object(kind={"enum": ["ship"]}),
    "a const": _object(kind={"const": "port"}, open=_YES),
    "a const number": _object(version={"const": 2}),
    "an enum alone": {"enum": ["yes", "no", "perhaps"]},
    "a const object": _object(at={"const": {"x": 1, "y": [2]}}),
    # Numbers
    "an integer alone": _integer(1, 1000),
    "a negative range": _object(depth=_integer(-100, -1)),
    "a number with limits": _object(share={"type": "number", "minimum": 0, "maximum": 1}),
    "exclusive limits": _object(
        t={"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 10}
    ),
    "a multiple": _object(dozen={"type": "integer", "multipleOf": 12, "minimum": 0, "maximum": 99}),
    "a number or null": _object(t={"anyOf": [{"type": "null"}, _integer(0, 9)]}),
    # Texts
    "a date": _object(day={"type": "string", "format": "date"}),
    "a time": _object(at={"type": "string", "pattern": r"^[0-2][0-9]:[0-5][0-9]$"}),
    "a pattern": _object(code={"type": "string", "pattern": r"^[A-Z]{3}-\d{2,4}$"}),
    "a uuid": _object(id={"type": "string", "format": "uuid"}),
    "an address": _object(ip={"type": "string", "format": "ipv4"}),
    "a text of a length": _object(code=_text(4, minLength=4)),
    "an unknown format": _object(color={**_text(7), "format": "colour"}),
    # Arrays
    "an array alone": _array(_integer(0, 9), 0, 4),
    "an array of texts": _object(ports=_array(_text(6), 1, 3)),
    "an array of objects": _object(route=_array(_POINT, 1, 2)),
    "a tuple": {
        **_array({"type": "integer"}, 2, 2),
        "prefixItems": [_text(5), _YES],
        "items": False,
    },
    "an array in an array": _object(grid=_array(_array(_integer(0, 1), 2, 2), 2, 2)),
    "an empty array": _object(none=_array(_YES, 0, 0)),
    # Nested
    "an object in an object": _object(ship=_object(rig=_object(masts=_integer(1, 4)))),
    "six deep": _object(a=_object(b=_object(c=_object(d=_object(e=_object(f=_YES)))))),
    "a definition": {
        **_object(fore=_MAST, main=_MAST),
        "$defs": {"mast": _object(height=_integer(1, 60))},
    },
    "an older definition": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **_object(fore={"$ref": "#/definitions/mast"}),
        "definitions": {"mast": _object(height=_integer(1, 60))},
    },
    "a tree": {
        "$defs": {
            "node": {
                **_object(value=_integer(0, 9), next={"anyOf": [{"type": "null"}, _POINT]}),
            }
        },
        "$ref": "#/$defs/node",
    },
    "all of two": {
        "allOf": [
            {"type": "object", "properties": {"a": _YES}, "required": ["a"]},
            {"type": "object", "properties": {"b": _YES}, "required": ["b"]},
        ],
        "properties": {"a": True, "b": True},
        "additionalProperties": False,
    },
    # Alternatives
    "any of two kinds": _object(value={"anyOf": [_integer(0, 9), _text(4)]}),
    "any of two objects": {
        "anyOf": [
            _object(kind={"const": "ship"}, masts=_integer(1, 4)),
            _object(kind={"const": "port"}, depth=_integer(1, 40)),
        ]
    },
    "one of two kinds": _object(value={"oneOf": [_YES, _integer(0, 9)]}),
    # Unicode
    "names with accents": _object(größe=_integer(1, 9), städte=_array(_text(5), 1, 2)),
    "names in Chinese": _object(船名=_text(4), 数量=_integer(1, 9)),
    "an enum with signs": _object(mood={"enum": ["⚓", "🌊", "naïve", 'a "quoted" word']}),
    "escapes": _object(path={"const": "C:\\ships\n\t/end"}),
}
