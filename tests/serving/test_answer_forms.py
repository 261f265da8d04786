"""The answers that OpenAI's own client asks for in a form have that form."""

import json
import re
from typing import Any, Literal

import openai
import pytest
from jsonschema import Draft202012Validator
from openai import OpenAI
from pydantic import BaseModel, ConfigDict

from tests.serving.test_openai_client import ask
from tests.support.answer_schemas import SCHEMAS
from tests.support.model_servers import MODEL, SPAIN, Server


class Ship(BaseModel):
    """What the client's ``parse`` returns."""

    model_config = ConfigDict(extra="forbid")

    rig: Literal["brig", "sloop"]
    masts: Literal[1, 2, 3]
    sails: bool


@pytest.fixture(scope="module")
def client(server: Server) -> OpenAI:
    """Return a client without retries, which would hide a fault."""
    return OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=60)


def form(schema: Any) -> dict[str, Any]:
    """Return the ``response_format`` of a schema."""
    named = {"name": "answer", "schema": schema, "strict": True}
    return {"type": "json_schema", "json_schema": named}


def test_every_finished_answer_fits_its_schema(client: OpenAI) -> None:
    """Of fifty schemas, sampled: the tiny model would write anything else."""
    finished = 0
    for number, (name, schema) in enumerate(SCHEMAS.items()):
        if name == "names in Chinese":  # the runtime forces no part of a character
            continue
        given = ask(client, temperature=1, seed=number, response_format=form(schema)).choices[0]
        if given.finish_reason == "stop":
            finished += 1
            Draft202012Validator(schema).validate(json.loads(given.message.content))
        else:
            assert given.finish_reason == "length", name

    assert finished >= 0.8 * len(SCHEMAS)


def test_the_clients_own_parser_reads_an_answer(client: OpenAI) -> None:
    """Of a pydantic model, as its documentation shows."""
    given = client.chat.completions.parse(
        model=MODEL, messages=[{"role": "user", "content": SPAIN}], response_format=Ship
    )

    assert isinstance(given.choices[0].message.parsed, Ship)


def test_a_streamed_answer_has_the_form_too(client: OpenAI) -> None:
    """Piece by piece, and its end says why it ended."""
    chunks = [*ask(client, stream=True, response_format=form(Ship.model_json_schema()))]

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"
    Ship.model_validate_json(text)


def test_json_mode_begins_an_object(client: OpenAI) -> None:
    """A model that does not end it is cut, and the reason says so."""
    given = ask(client, response_format={"type": "json_object"}, max_tokens=8).choices[0]

    assert given.message.content.startswith("{")
    assert given.finish_reason == "length"


@pytest.mark.parametrize(
    ("fields", "pattern"),
    [
        ({"guided_regex": "[0-9]{3}"}, "[0-9]{3}"),
        ({"guided_choice": ["Öl", "你好", 'a "b"']}, 'Öl|你好|a "b"'),
        ({"guided_grammar": 'start: "aye " ("sir" | "captain")'}, "aye (sir|captain)"),
        ({"guided_grammar": 'start: "n: " %json {"enum": [1, 2]}'}, "n: [12]"),
        ({"structured_outputs": {"regex": "a{2}"}}, "aa"),
        ({"guided_json": {"enum": [1, 2]}}, "1|2"),
    ],
)
def test_other_forms_are_those_of_vllm(client: OpenAI, fields: Any, pattern: str) -> None:
    """As ``extra_body``."""
    text = ask(client, extra_body=fields).choices[0].message.content

    assert re.fullmatch(pattern, text)


@pytest.mark.parametrize(
    ("schema", "param"),
    [
        ({"type": "foo"}, "response_format.json_schema.schema"),
        ({"properties": {"a": {"not": {}}}}, "response_format.json_schema.schema.properties.a.not"),
        ({"type": "string", "pattern": "(?=a)b"}, "response_format.json_schema.schema"),
        ({"pattern": "(?:.{0,70}){70}"}, "response_format.json_schema.schema.pattern"),
        ({"minItems": 10**9}, "response_format.json_schema.schema.minItems"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_schema_that_cannot_be_enforced_is_a_bad_request(
    client: OpenAI, schema: Any, param: str, *, stream: bool
) -> None:
    """With its place and one clear line, and the engine answers the next request."""
    with pytest.raises(openai.BadRequestError) as refused:
        [*ask(client, response_format=form(schema), stream=stream)]

    assert refused.value.param == param
    assert "\n" not in refused.value.body["message"]  # type: ignore[index]
    assert ask(client, max_tokens=2).usage.completion_tokens == 2


def test_a_penalty_for_repetitions_is_obeyed(client: OpenAI) -> None:
    """By both of its names."""
    one, other = (
        ask(client, "Talk!", max_tokens=30, extra_body={field: 2}).choices[0].message.content
        for field in ("repetition_penalty", "repeat_penalty")
    )

    assert one == other != ask(client, "Talk!", max_tokens=30).choices[0].message.content
