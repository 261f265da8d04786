"""OpenAI's own client works with the server."""

import json
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI

from slipway.serving.middleware import BODY_BYTES
from slipway.values.request_fields import NEUTRAL
from tests.support.model_servers import MADRID, MODEL, PAGES, SPAIN, Server

JOKE = "Tell me a joke."
PUNCHLINE = "Why did the ship stay in the harbour? It was tired of waves!"


@pytest.fixture(scope="module")
def client(server: Server) -> OpenAI:
    """Return a client without retries, which would hide a fault."""
    return OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=60)


def ask(client: OpenAI, text: str = SPAIN, **fields: Any) -> Any:
    """Send one chat request."""
    messages: Any = [{"role": "user", "content": text}]
    return client.chat.completions.create(**({"model": MODEL, "messages": messages} | fields))


def test_a_chat_is_answered_and_counted(client: OpenAI) -> None:
    """Greedily by default, as the model was released; the counts are the tokenizer's."""
    answer = ask(client)

    assert answer.choices[0].message.content == MADRID
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == MODEL
    assert answer.usage.prompt_tokens == 15
    assert answer.usage.total_tokens == 15 + answer.usage.completion_tokens


def test_the_version_that_answers_is_in_a_header(client: OpenAI, server: Server) -> None:
    """The body has no field for it; /ready has the same header."""
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=[{"role": "user", "content": SPAIN}]
    )

    assert raw.headers["x-model-version"] == "1"
    assert server.ready().headers["x-model-version"] == "1"
    assert server.ready().json().keys() == {"model", "version", "digest", "pid"}


def test_a_streamed_chat_is_the_same_piece_by_piece(client: OpenAI) -> None:
    """Characters whose bytes are several tokens arrive whole; the counts come last."""
    text = "Say hello in three languages."
    whole = ask(client, text)

    chunks = list(ask(client, text, stream=True, stream_options={"include_usage": True}))

    *deltas, last, counts = chunks
    assert "".join(chunk.choices[0].delta.content or "" for chunk in deltas) == (
        whole.choices[0].message.content
    )
    assert deltas[0].choices[0].delta.role == "assistant"
    assert {chunk.choices[0].finish_reason for chunk in deltas} == {None}
    assert last.choices[0].finish_reason == "stop"
    assert (counts.choices, counts.usage) == ([], whole.usage)
    assert {chunk.usage for chunk in (*deltas, last)} == {None}
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_stream_has_no_counts_unless_requested(client: OpenAI) -> None:
    """Every chunk has its choice, as older clients expect."""
    chunks = list(ask(client, stream=True))

    assert all(len(chunk.choices) == 1 for chunk in chunks)


@pytest.mark.parametrize("stop", ["harbour", ["waves", "harbour"]])
@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_text_ends_the_answer_before_it(client: OpenAI, stop: Any, *, stream: bool) -> None:
    """Whichever comes first; no part of it is sent, also not in a stream."""
    answer = ask(client, JOKE, stop=stop, stream=stream)

    if stream:
        chunks = list(answer)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        reason = chunks[-1].choices[0].finish_reason
    else:
        text, reason = answer.choices[0].message.content, answer.choices[0].finish_reason
    assert (text, reason) == ("Why did the ship stay in the ", "stop")


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_an_answer_ends_at_its_limit(client: OpenAI, field: str) -> None:
    """The older field and the newer one mean the same."""
    answer = ask(client, **{field: 3})

    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 3


def test_no_answer_has_more_tokens_than_the_server_allows(client: OpenAI) -> None:
    """A limit above the server's is no error; the server's limit ends the answer."""
    answer = ask(client, "Talk!", temperature=2, seed=4, max_tokens=100_000)

    assert answer.usage.completion_tokens <= 64


def test_several_answers_differ_and_are_repeatable(client: OpenAI) -> None:
    """Each has a seed of its own, which makes all of them repeatable."""
    fields = {"n": 3, "temperature": 1.5, "seed": 2**40 + 5, "max_tokens": 12}
    first, again = (ask(client, "Sail!", **fields) for _ in range(2))

    texts = [choice.message.content for choice in first.choices]
    assert [choice.index for choice in first.choices] == [0, 1, 2]
    assert len(set(texts)) > 1
    assert texts == [choice.message.content for choice in again.choices]
    assert first.usage.completion_tokens > 12
    streamed: dict[int, str] = {}
    for chunk in ask(client, "Sail!", stream=True, **fields):
        choice = chunk.choices[0]
        streamed[choice.index] = streamed.get(choice.index, "") + (choice.delta.content or "")
    assert [streamed[index] for index in range(3)] == texts


def test_one_text_or_several_are_completed(client: OpenAI) -> None:
    """As the ``prompt`` contract does; a prompt counts once, however often it is answered."""
    one = client.completions.create(model=MODEL, prompt=SPAIN)
    two = client.completions.create(model=MODEL, prompt=[SPAIN, JOKE], n=2)
    stream = client.completions.create(model=MODEL, prompt=SPAIN, stream=True)

    assert one.choices[0].text == MADRID
    assert [each.text for each in two.choices] == [MADRID, MADRID, PUNCHLINE, PUNCHLINE]
    assert two.usage is not None
    assert one.usage is not None
    assert two.usage.prompt_tokens == one.usage.prompt_tokens + 19
    assert "".join(chunk.choices[0].text for chunk in stream) == MADRID


def test_the_served_model_is_listed(client: OpenAI) -> None:
    """With its version."""
    [listed] = client.models.list().data

    assert (listed.id, listed.model_extra["version"]) == (MODEL, 1)  # type: ignore[index]
    assert client.models.retrieve(MODEL).id == MODEL


def test_fields_that_change_nothing_are_accepted(client: OpenAI) -> None:
    """Many clients and frameworks always send these fields."""
    parts = [
        {"type": "text", "text": "What is the capital "},
        {"type": "text", "text": "of Spain?"},
    ]
    answer = ask(
        client,
        messages=[{"role": "user", "content": parts, "name": "ada"}],
        user="ada",
        metadata={"trace": "1"},
        presence_penalty=0,
        frequency_penalty=0.0,
        logprobs=False,
        response_format={"type": "text"},
        tools=[],
        store=False,
        stop=None,
        seed=None,
    )

    assert answer.choices[0].message.content == MADRID


REFUSED = [
    ({"model": "other"}, openai.NotFoundError, "model", "model_not_found"),
    ({"temperature": 3}, openai.BadRequestError, "temperature", "invalid_value"),
    ({"temperature": "warm"}, openai.BadRequestError, "temperature", "invalid_value"),
    ({"max_tokens": 0}, openai.BadRequestError, "max_tokens", "invalid_value"),
    ({"n": 17}, openai.BadRequestError, "n", "invalid_value"),
    ({"stop": ["a"] * 33}, openai.BadRequestError, "stop", "invalid_value"),
    ({"stop": ""}, openai.BadRequestError, "stop", "invalid_value"),
    ({"stop": ["a", ""]}, openai.BadRequestError, "stop.1", "invalid_value"),
    (
        {"reasoning_effort": "high"},
        openai.BadRequestError,
        "reasoning_effort",
        "unsupported_parameter",
    ),
    ({"extra_body": {"top_k": -2}}, openai.BadRequestError, "top_k", "invalid_value"),
    ({"messages": []}, openai.BadRequestError, "messages", "invalid_value"),
    ({"logprobs": True}, openai.BadRequestError, "logprobs", "unsupported_parameter"),
    ({"tools": [{"type": "x"}]}, openai.BadRequestError, "tools.0.type", "invalid_value"),
    ({"presence_penalty": 1}, openai.BadRequestError, "presence_penalty", "unsupported_parameter"),
    ({"extra_body": {"beams": 4}}, openai.BadRequestError, "beams", "unknown_parameter"),
    ({"stream_options": {}}, openai.BadRequestError, "stream_options", "invalid_value"),
]


@pytest.mark.parametrize(("fields", "kind", "param", "code"), REFUSED)
def test_unsupported_fields_are_refused_by_name(
    client: OpenAI, fields: Any, kind: type[openai.APIStatusError], param: str, code: str
) -> None:
    """No request is answered in part."""
    with pytest.raises(kind) as refused:
        ask(client, **fields)

    assert (refused.value.param, refused.value.code) == (param, code)
    assert refused.value.body["message"]  # type: ignore[index]


IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}


@pytest.mark.parametrize(
    ("messages", "param", "code"),
    [
        ([{"role": "user", "content": "ship " * 600}], None, "context_length_exceeded"),
        ([{"role": "user", "content": "end\0here"}], "messages.0.content", "invalid_value"),
        ([{"role": "tool", "content": "5"}], "messages.0.tool_call_id", "invalid_value"),
        ([{"role": "user"}], "messages.0.content", "invalid_value"),
        ([{"role": "user", "content": []}], "messages.0.content", "invalid_value"),
        (
            [{"role": "user", "content": [{"type": "text", "text": "x"}, IMAGE]}],
            "messages.0.content.1.type",
            "invalid_value",
        ),
        (
            [{"role": "assistant", "content": "a", "tool_calls": [{"id": "1"}]}],
            "messages.0.tool_calls.0.function",
            "invalid_value",
        ),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_messages_that_the_model_cannot_answer_are_a_bad_request(
    client: OpenAI, messages: Any, param: str | None, code: str, *, stream: bool
) -> None:
    """With the place of the fault, also for a stream: its status is sent after its first token."""
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, messages=messages, stream=stream)

    assert (refused.value.param, refused.value.code) == (param, code)
    assert "\n" not in str(refused.value)


def test_an_answers_message_can_be_sent_back(client: OpenAI) -> None:
    """As the client holds it, with all of its fields; and an answer that said nothing."""
    said = ask(client, JOKE).choices[0].message
    question = {"role": "user", "content": SPAIN}
    plain = {"role": "assistant", "content": PUNCHLINE}
    joke = {"role": "user", "content": JOKE}
    nothing = {"role": "assistant", "content": None, "refusal": None, "parsed": None}
    expected, *sent_back = (
        ask(client, messages=[joke, each, question]).usage.prompt_tokens
        for each in (plain, said, said.model_dump(), plain | {"annotations": [], "tool_calls": []})
    )

    assert sent_back == [expected] * 3
    assert ask(client, messages=[joke, nothing, question]).usage.prompt_tokens < expected


@pytest.mark.parametrize("fields", [{"logit_bias": None, "beams": None}, {}])
def test_neutral_fields_change_nothing(client: OpenAI, fields: dict[str, Any]) -> None:
    """All of the table at once; a null is as good as absent, whatever the field."""
    neutral = {
        field: "anything" if values is None else values[0]
        for field, values in NEUTRAL.items()
        if values is None or values
    }
    neutral["parallel_tool_calls"] = True  # with tools it asks for something
    answer = ask(client, extra_body=fields or neutral)

    assert answer.choices[0].message.content == MADRID


def test_top_k_is_passed_on(client: OpenAI) -> None:
    """With only the likeliest token to choose from, a high temperature changes nothing."""
    answer = ask(client, temperature=2, extra_body={"top_k": 1})

    assert answer.choices[0].message.content == MADRID


def test_as_many_stop_texts_as_clients_send(client: OpenAI) -> None:
    """Editors send a dozen."""
    answer = ask(client, JOKE, stop=[*(f"<{number}>" for number in range(31)), "harbour"])

    assert answer.choices[0].message.content == "Why did the ship stay in the "


@pytest.mark.parametrize("path", ["/health", "/ready", "/v1/models"])
def test_head_is_get_without_a_body(server: Server, path: str) -> None:
    """Monitors ask so."""
    head, get = (httpx.request(method, server.url + path) for method in ("HEAD", "GET"))

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


@pytest.mark.parametrize("path", ["/v1/models/", "/v1//models", "//v1/models"])
def test_a_slash_too_many_is_no_other_route(server: Server, path: str) -> None:
    """Clients join a base URL and a path; a redirect would lose the body of a POST."""
    assert httpx.get(server.url + path).json()["object"] == "list"


def test_options_names_the_methods(server: Server) -> None:
    """Of a route that exists."""
    chat = httpx.options(f"{server.url}/v1/chat/completions")

    assert (chat.status_code, chat.headers["allow"]) == (204, "POST")
    assert httpx.options(f"{server.url}/v2").status_code == 404


def test_pages_of_named_origins_may_use_the_server(server: Server) -> None:
    """A browser asks before it sends JSON; the page of another origin learns of the setting."""
    url = f"{server.url}/v1/chat/completions"
    wanted = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-own"}
    named, other = (
        httpx.options(url, headers=wanted | {"Origin": origin})
        for origin in (PAGES, "https://other.example")
    )
    answer = httpx.get(f"{server.url}/v1/models", headers={"Origin": PAGES})

    assert named.headers["access-control-allow-origin"] == PAGES
    assert named.headers["access-control-allow-headers"] == "x-own"
    assert answer.headers["access-control-allow-origin"] == PAGES
    assert "x-model-version" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-origin" not in other.headers
    assert (other.status_code, other.json()["error"]["code"]) == (403, "origin_not_allowed")
    assert "SLIPWAY_ALLOWED_ORIGINS" in other.json()["error"]["message"]


def test_every_error_has_openais_form(server: Server) -> None:
    """Also errors before a route is found or before the body is read."""
    chat = f"{server.url}/v1/chat/completions"
    kind = {"content-type": "application/json"}
    large = b"x" * (BODY_BYTES + 1)
    answers = {
        404: httpx.get(f"{server.url}/v2"),
        405: httpx.get(chat),
        400: httpx.post(chat, content=b'{"model": "\\ud800', headers=kind),
        413: httpx.post(chat, content=large, headers=kind),
    }
    undeclared = httpx.post(chat, content=iter([large]), headers=kind)  # sent in chunks

    for status, answer in (*answers.items(), (413, undeclared)):
        assert answer.status_code == status
        assert json.loads(answer.text)["error"].keys() == {"message", "type", "param", "code"}
