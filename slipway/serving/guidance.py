"""What an answer must match: ``response_format`` of OpenAI, ``guided_*`` and others of vLLM."""

import json
import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from slipway.serving.api_errors import Unsupported
from slipway.serving.client_json import first, parsed
from slipway.serving.json_schemas import CHARACTERS, enforceable, require_small
from slipway.serving.request_object import RequestObject

_CHOICES = 1_000
_SCHEMA = re.compile(r"%json\s*")
#: Any JSON object, as ``json_object`` asks for.
_ANY_OBJECT = {"type": "object"}


class Guidance(NamedTuple):
    """What the runtime enforces.

    Attributes:
        kind: As the runtime calls it: ``json_schema``, ``regex`` or ``lark_grammar``.
        place: The field of the request that asks for it.
    """

    kind: str
    text: str
    place: str


class NamedSchema(RequestObject):
    """The schema of a ``response_format``; it is enforced with and without ``strict``."""

    name: str = ""
    description: str = ""
    strict: bool = False
    schema_: dict[str, Any] = Field(alias="schema")


class ResponseFormat(RequestObject):
    """The form of an answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None

    @model_validator(mode="after")
    def _require_schema(self) -> Self:
        if (self.json_schema is None) == (self.type == "json_schema"):
            text = "belongs to type 'json_schema', which needs it"
            raise Unsupported(text, "json_schema", "invalid_value")
        return self

    def guidance(self, place: str) -> Guidance | None:
        """Return what an answer must match; None for any text."""
        if self.json_schema:
            return of_schema(self.json_schema.schema_, f"{place}.json_schema.schema")
        return of_schema(_ANY_OBJECT, place) if self.type == "json_object" else None


def of_schema(schema: Any, place: str) -> Guidance:
    """Return guidance to JSON that fits a schema.

    Raises:
        Unsupported: The schema cannot be enforced.
    """
    return Guidance("json_schema", json.dumps(enforceable(schema, place)), place)


def of_regex(pattern: Any, place: str) -> Guidance:
    """Return guidance to a text that matches a regular expression, in the syntax of Rust's crate.

    Raises:
        Unsupported: It is no text, or too large.
    """
    _require_text(pattern, place)
    require_small(pattern, place)
    return Guidance("regex", pattern, place)


def of_grammar(grammar: Any, place: str) -> Guidance:
    """Return guidance to a text of a grammar in llguidance's variant of Lark.

    Raises:
        Unsupported: It is no text, or too large, or a schema behind ``%json`` cannot be enforced.
    """
    _require_text(grammar, place)
    for number, line in enumerate(grammar.splitlines(), start=1):
        require_small(line, f"{place}.{number}")
    for found in _SCHEMA.finditer(grammar):
        enforceable(first(grammar[found.end() :], f"{place}.%json"), f"{place}.%json")
    return Guidance("lark_grammar", grammar, place)


def of_choice(choices: Any, place: str) -> Guidance:
    """Return guidance to one of several texts.

    Raises:
        Unsupported: They are no list of texts, or too many.
    """
    texts = choices if isinstance(choices, list) else []
    if not 0 < len(texts) <= _CHOICES or not all(isinstance(each, str) and each for each in texts):
        text = f"is no list of 1 to {_CHOICES} texts"
        raise Unsupported(text, place, "invalid_value")
    _require_text("".join(texts), place)
    rules = " | ".join(json.dumps(each) for each in texts)
    return Guidance("lark_grammar", f"start: {rules}\n", place)


#: By the kind that vLLM has in ``structured_outputs``, and behind ``guided_`` before it.
_KINDS = {"json": of_schema, "regex": of_regex, "grammar": of_grammar, "choice": of_choice}


def only(
    guided: Mapping[str, Any],
    outputs: Mapping[str, Any],
    response_format: ResponseFormat | None,
) -> Guidance | None:
    """Return the one guidance of a request; None without any.

    Args:
        guided: The fields that begin with ``guided_``, by what follows.
        outputs: What vLLM now has in their place, ``structured_outputs``.
        response_format: Of the request.

    Raises:
        Unsupported: It cannot be enforced, or there are two.
    """
    found = [
        _of_kind(kind, value, f"{prefix}{kind}")
        for prefix, fields in (("guided_", guided), ("structured_outputs.", outputs))
        for kind, value in fields.items()
        if value is not None
    ]
    if response_format and (form := response_format.guidance("response_format")):
        found.append(form)
    if len(found) > 1:
        text = f"cannot be combined with {found[0].place}: an answer has one form"
        raise Unsupported(text, found[1].place, "invalid_value")
    return found[0] if found else None


def _of_kind(kind: str, value: Any, place: str) -> Guidance:
    if kind == "json_object" and value is True:
        return of_schema(_ANY_OBJECT, place)
    if kind not in _KINDS:
        raise Unsupported("is not supported by this server", place, "unsupported_parameter")
    if kind == "json" and isinstance(value, str):
        value = parsed(value, place)
    return _KINDS[kind](value, place)


def _require_text(text: Any, place: str) -> None:
    if not isinstance(text, str) or not 0 < len(text) <= CHARACTERS:
        fault = f"is no text of 1 to {CHARACTERS} characters"
        raise Unsupported(fault, place, "invalid_value")
