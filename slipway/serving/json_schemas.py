"""JSON schemas that the runtime can enforce, within limits; all others are refused by place.

The runtime compiles a schema to a grammar (llguidance, ``docs/json_schema.md`` there). It refuses
keywords that it does not enforce without their place, and it has no limit for numbers: an array of
a billion items at least takes 17 GB. So both are checked before, in time linear in the schema.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from slipway.serving.api_errors import Unsupported

CHARACTERS = 1 << 16  # of a schema as JSON, and of a grammar
DEPTH = 50  # schemas within each other
REPETITIONS = 10_000  # of the items and properties that a schema counts, in all
LENGTH = 100_000  # characters of a text that a schema counts
PATTERN_CHARACTERS = 2_000
PATTERN_SIZE = 1_000  # characters of a pattern whose counted repetitions are written out

_MAPS = ("properties", "patternProperties", "$defs", "definitions")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_ONE = ("items", "additionalItems", "additionalProperties")
_COUNTS = ("minItems", "maxItems", "minProperties", "maxProperties")
_LENGTHS = ("minLength", "maxLength")
_NOT_ENFORCED = frozenset(
    (
        *("not", "if", "then", "else", "uniqueItems", "contains", "minContains", "maxContains"),
        *("propertyNames", "dependentRequired", "dependentSchemas", "dependencies"),
        *("unevaluatedItems", "unevaluatedProperties", "$dynamicRef", "$recursiveRef"),
    )
)
#: Formats that the runtime enforces. Any other is a comment, as the standard has it.
_FORMATS = (
    *("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6"),
    *("uuid", "uri"),
)
#: As ``json.dumps`` writes: a model can put white space without end where a grammar allows it.
_SPACES = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
#: A repetition that counts, an escaped character, a class, or any other character.
_PATTERN_PARTS = re.compile(
    r"\{(?P<least>\d*)(?P<comma>,?)(?P<most>\d*)\}"
    r"|(?P<atom>\\[pP]\{[^}]*\}|\\.|\[\^?\]?(?:\\.|[^\]\\])*\])"
    r"|(?P<other>.)",
    re.DOTALL,
)


class _Place(NamedTuple):
    """A schema within a schema."""

    path: str
    schema: Any
    depth: int


def enforceable(schema: Any, place: str) -> dict[str, Any]:
    """Return a schema as the runtime takes it: compact JSON, without formats that nobody enforces.

    Args:
        schema: A JSON schema, as a client sent it.
        place: The field of the request that has it.

    Raises:
        Unsupported: With the place within the schema that cannot be enforced or is no schema.
    """
    if not isinstance(schema, dict):
        raise _refused("is no JSON schema; send an object", place)
    if len(json.dumps(schema, ensure_ascii=False)) > CHARACTERS:
        raise _refused(f"has more than {CHARACTERS} characters as JSON", place)
    counted = 0
    for each in _schemas(_Place(place, schema, 1)):
        counted += _checked(each)
        if counted > REPETITIONS:
            text = f"counts more than {REPETITIONS} items and properties in all; lower the numbers"
            raise _refused(text, each.path)
    return {**_without_comments(schema), "x-guidance": _SPACES}


def require_small(pattern: str, place: str) -> None:
    """Refuse a regular expression whose counted repetitions would fill the runtime's limits.

    Raises:
        Unsupported: With ``place``.
    """
    if len(pattern) > PATTERN_CHARACTERS:
        raise _refused(f"has more than {PATTERN_CHARACTERS} characters", place)
    if _size(pattern) > PATTERN_SIZE:
        text = f"has more than {PATTERN_SIZE} characters when its repetitions are written out"
        raise _refused(f"{text}; lower their numbers", place)


def _schemas(root: _Place) -> Iterator[_Place]:
    """Yield a schema and all schemas within it; what holds them has its form by then."""
    below = [root]
    while below:
        each = below.pop()
        if each.depth > DEPTH:
            raise _refused(f"is nested more than {DEPTH} schemas deep", each.path)
        if isinstance(each.schema, bool):
            continue
        if not isinstance(each.schema, dict):
            raise _refused("is no JSON schema; send an object, true or false", each.path)
        below += [
            _Place(f"{each.path}.{path}", schema, each.depth + 1) for path, schema in _within(each)
        ]
        yield each


def _within(place: _Place) -> Iterator[tuple[str, Any]]:
    schema = place.schema
    for keyword in _MAPS:
        named = schema.get(keyword, {})
        if not isinstance(named, dict):
            raise _refused("is no object of JSON schemas", f"{place.path}.{keyword}")
        yield from ((f"{keyword}.{name}", each) for name, each in named.items())
    for keyword in _LISTS:
        listed = schema.get(keyword, [])
        if not isinstance(listed, list) or (keyword in schema and not listed):
            raise _refused("is no list of JSON schemas", f"{place.path}.{keyword}")
        yield from ((f"{keyword}.{index}", each) for index, each in enumerate(listed))
    for keyword in _ONE:
        if isinstance(schema.get(keyword), list):  # drafts before 2020-12
            yield from ((f"{keyword}.{index}", each) for index, each in enumerate(schema[keyword]))
        elif keyword in schema:
            yield keyword, schema[keyword]


def _checked(place: _Place) -> int:
    """Check what one schema says itself; return how many items and properties it counts."""
    path, schema = place.path, place.schema
    for keyword in sorted(_NOT_ENFORCED & schema.keys()):
        if not _asks_for_nothing(keyword, schema[keyword]):
            fault = "is a keyword that this server cannot enforce; leave it out"
            raise _refused(fault, f"{path}.{keyword}")
    reference = schema.get("$ref", "#")
    if not isinstance(reference, str) or not reference.startswith("#"):
        raise _refused("is no reference within the schema, such as '#/$defs/x'", f"{path}.$ref")
    if isinstance(pattern := schema.get("pattern"), str):
        require_small(pattern, f"{path}.pattern")
    for pattern in schema.get("patternProperties", {}):
        require_small(pattern, f"{path}.patternProperties.{pattern}")
    _require_names(schema.get("required", []), f"{path}.required")
    for keyword in _LENGTHS:
        _number(schema, keyword, path, LENGTH)
    return sum(_number(schema, keyword, path, REPETITIONS) for keyword in _COUNTS)


def _require_names(names: Any, path: str) -> None:
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise _refused("is no list of names", path)


def _number(schema: Mapping[str, Any], keyword: str, path: str, most: int) -> int:
    value = schema.get(keyword, 0)
    whole = isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1
    if not whole or not 0 <= value <= most:
        fault = f"is {value!r:.40}, expected a whole number up to {most}"
        raise _refused(fault, f"{path}.{keyword}")
    return int(value)


def _asks_for_nothing(keyword: str, value: Any) -> bool:
    """Tell whether a schema means the same without a keyword of this value."""
    if keyword == "format":
        return value not in _FORMATS
    return keyword == "x-guidance" or (keyword == "uniqueItems" and value is False)


def _without_comments(schema: Any) -> Any:
    """Return a copy without what asks for nothing."""
    if not isinstance(schema, dict):
        return schema
    return {
        keyword: _copied(keyword, value)
        for keyword, value in schema.items()
        if not _asks_for_nothing(keyword, value)
    }


def _copied(keyword: str, value: Any) -> Any:
    if keyword in _MAPS:
        return {name: _without_comments(each) for name, each in value.items()}
    if isinstance(value, list) and keyword in (*_LISTS, *_ONE):
        return [_without_comments(each) for each in value]
    return _without_comments(value) if keyword in _ONE else value


def _size(pattern: str) -> int:
    """Return about how many characters a pattern has once its repetitions are written out."""
    sums, last = [0], 0
    for part in _PATTERN_PARTS.finditer(pattern):
        if part["most"] is not None and (part["least"] or part["most"]):
            times = int((part["most"] or part["least"])[:9])
            sums[-1] += last * (times - 1)
            last *= times
        elif part["other"] == "(":
            sums.append(0)
        elif part["other"] == ")" and len(sums) > 1:
            last = sums.pop()
            sums[-1] += last
        elif part["other"] not in ("*", "+", "?", "|"):
            last = 1
            sums[-1] += 1
    return sum(sums)


def _refused(fault: str, place: str) -> Unsupported:
    return Unsupported(fault, place, "invalid_value")
