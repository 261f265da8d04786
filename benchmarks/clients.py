"""Asks a model server through openai, LangChain and LiteLLM, and prints what each of them got.

Each client asks a question, reads a stream, wants an answer in a form, and follows a tool call to
its answer. The interpreter needs the packages openai, langchain-openai and litellm. The exit code
is 1 if a client failed. ``benchmarks/clients.mjs`` does the same with the AI SDK.

Usage: python benchmarks/clients.py URL MODEL
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or its import asks a host on the internet

import litellm
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import OpenAI
from pydantic import BaseModel

QUESTION = "What is the capital of Japan?"
WEATHER = "What is the weather in Oslo?"
RESULT = "-3 degrees, snow"
TOKENS = 60


class Capital(BaseModel):
    """The form of an answer."""

    city: str
    is_large: bool


@tool
def weather(city: str) -> str:
    """Return the weather of a city."""
    return f"{city}: {RESULT}"


TOOL: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Return the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


def main() -> int:
    """Ask through each client, and print a line for each of its requests."""
    url, model = sys.argv[1:]
    failed = 0
    for name, client in {"openai": openai, "LangChain": langchain, "LiteLLM": lite_llm}.items():
        for asked, ask in client(f"{url}/v1", model).items():
            try:
                given = ask()
            except Exception as error:  # noqa: BLE001 - whatever a client raises is its result
                failed += 1
                given = f"FAILED: {type(error).__name__}: {error}"
            print(f"{name:10} {asked:8} {given!r:.120}", flush=True)
    return min(failed, 1)


def openai(base: str, model: str) -> dict[str, Callable[[], Any]]:
    """Return the requests of the official client."""
    client = OpenAI(base_url=base, api_key="none", max_retries=0)
    fields: Any = {"model": model, "max_tokens": TOKENS, "temperature": 0}

    def ask() -> Any:
        answer = client.chat.completions.create(messages=[user(QUESTION)], **fields)
        return answer.choices[0].message.content

    def stream() -> Any:
        pieces = client.chat.completions.create(messages=[user(QUESTION)], stream=True, **fields)
        return "".join(each.choices[0].delta.content or "" for each in pieces if each.choices)

    def form() -> Any:
        answer = client.chat.completions.parse(
            messages=[user(QUESTION)], response_format=Capital, **fields
        )
        return answer.choices[0].message.parsed

    def tools() -> Any:
        messages: list[Any] = [user(WEATHER)]
        named: Any = {"type": "function", "function": {"name": "weather"}}
        asked = client.chat.completions.create(
            messages=messages, tools=[TOOL], tool_choice=named, **fields
        )
        return followed(
            asked.choices[0].message,
            messages,
            lambda whole: client.chat.completions.create(messages=whole, tools=[TOOL], **fields),
        )

    return {"chat": ask, "stream": stream, "form": form, "tools": tools}


def langchain(base: str, model: str) -> dict[str, Callable[[], Any]]:
    """Return the requests of LangChain's ChatOpenAI."""
    chat: Any = ChatOpenAI(
        model=model, base_url=base, api_key="none", max_tokens=TOKENS, temperature=0, max_retries=0
    )

    def tools() -> Any:
        messages: list[Any] = [HumanMessage(WEATHER)]
        asked = chat.bind_tools([weather], tool_choice="weather").invoke(messages)
        results = [
            ToolMessage(weather.invoke(each["args"]), tool_call_id=each["id"])
            for each in asked.tool_calls
        ]
        answer = chat.bind_tools([weather]).invoke([*messages, asked, *results])
        return [each["args"] for each in asked.tool_calls], answer.content

    return {
        "chat": lambda: chat.invoke(QUESTION).content,
        "stream": lambda: "".join(piece.content for piece in chat.stream(QUESTION)),
        "form": lambda: chat.with_structured_output(Capital).invoke(QUESTION),
        "tools": tools,
    }


def lite_llm(base: str, model: str) -> dict[str, Callable[[], Any]]:
    """Return the requests of LiteLLM's OpenAI-compatible provider."""
    fields: Any = {"model": f"openai/{model}", "api_base": base, "api_key": "none"}
    fields |= {"max_tokens": TOKENS, "temperature": 0, "num_retries": 0}

    def complete(messages: list[Any], **more: Any) -> Any:
        return litellm.completion(messages=messages, **fields, **more)

    def stream() -> Any:
        pieces = complete([user(QUESTION)], stream=True)
        return "".join(each.choices[0].delta.content or "" for each in pieces)

    def form() -> Any:
        answer = complete([user(QUESTION)], response_format=Capital)
        return Capital.model_validate_json(answer.choices[0].message.content)

    def tools() -> Any:
        messages = [user(WEATHER)]
        asked = complete(messages, tools=[TOOL], tool_choice="required")
        message = asked.choices[0].message
        return followed(message, messages, lambda whole: complete(whole, tools=[TOOL]))

    def ask() -> Any:
        return complete([user(QUESTION)]).choices[0].message.content

    return {"chat": ask, "stream": stream, "form": form, "tools": tools}


def user(text: str) -> Any:
    """Return a message of a person."""
    return {"role": "user", "content": text}


def followed(message: Any, messages: list[Any], ask: Callable[[list[Any]], Any]) -> Any:
    """Return the arguments of the calls, and the answer to their results."""
    arguments = [json.loads(each.function.arguments) for each in message.tool_calls]
    results = [
        {"role": "tool", "tool_call_id": each.id, "content": RESULT} for each in message.tool_calls
    ]
    answer = ask([*messages, message, *results])
    return arguments, answer.choices[0].message.content


if __name__ == "__main__":
    sys.exit(main())
