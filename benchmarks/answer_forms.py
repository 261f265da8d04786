"""Ask a running model server for fifty forms and for calls of tools, with OpenAI's own client.

Every answer that ends by itself has to fit its schema. Then the loop of a client with tools runs:
call, result, answer. Prints one line for each, and what was finished.

    slipway serve smollm2-135m &
    python -m benchmarks.answer_forms smollm2-135m --url http://127.0.0.1:8080/v1
"""

import argparse
import json
import sys
import time
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from openai import InternalServerError, OpenAI

from tests.support.answer_schemas import SCHEMAS

PARAMETERS = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 30},
        "unit": {"enum": ["celsius", "fahrenheit"]},
    },
    "required": ["city", "unit"],
    "additionalProperties": False,
}
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}


def main() -> int:
    """Ask, and return 1 if an answer that was finished does not fit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--url", default="http://127.0.0.1:8080/v1")
    given = parser.parse_args()
    client = OpenAI(base_url=given.url, api_key="none", max_retries=0, timeout=300)
    faults = [*ask_for_forms(client, given.model), *call_tools(client, given.model)]
    print(*faults, sep="\n")
    return 1 if faults else 0


def ask_for_forms(client: OpenAI, model: str) -> list[str]:
    """Ask for an answer of each schema; return the faults."""
    faults, finished, started = [], 0, time.monotonic()
    for name, schema in SCHEMAS.items():
        asked: Any = [{"role": "user", "content": f"Write JSON about a ship: {name}."}]
        form: Any = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        try:
            choice = client.chat.completions.create(
                model=model, messages=asked, response_format=form, max_tokens=200
            ).choices[0]
        except InternalServerError as error:  # the runtime cannot write some characters
            print(f"{name:28} failed  {error!s:.120}")
            continue
        print(f"{name:28} {choice.finish_reason:7} {choice.message.content!r:.120}")
        if choice.finish_reason == "stop":
            finished += 1
            faults += _fault(name, schema, choice.message.content or "")
    seconds = time.monotonic() - started
    print(f"{finished} of {len(SCHEMAS)} finished in {seconds:.0f} s, {len(faults)} do not fit")
    return faults


def _fault(name: str, schema: Any, text: str) -> list[str]:
    try:
        Draft202012Validator(schema).validate(json.loads(text))
    except (ValidationError, ValueError) as error:
        return [f"{name}: {text!r:.200}: {str(error).splitlines()[0]}"]
    return []


def call_tools(client: OpenAI, model: str) -> list[str]:
    """Run the loop of a client with tools, whole and streamed; return the faults."""
    faults = []
    for choice in ("required", {"type": "function", "function": {"name": "get_weather"}}, "auto"):
        messages: Any = [{"role": "user", "content": "What is the weather in Oslo in celsius?"}]
        fields: Any = {"model": model, "tools": [WEATHER], "max_tokens": 120}
        called = client.chat.completions.create(
            **fields, messages=messages, tool_choice=choice, parallel_tool_calls=False
        ).choices[0]
        print(f"tool_choice {choice!s:.10}: {called.finish_reason} {called.message!r:.300}")
        calls = called.message.tool_calls or []
        if not calls:
            faults += [] if choice == "auto" else [f"no call with tool_choice {choice}"]
            continue
        messages.append(called.message)
        for call in calls:
            faults += _fault(
                "arguments", WEATHER["function"]["parameters"], call.function.arguments
            )  # type: ignore[index]
            result = '{"temperature": -3, "sky": "snow"}'
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
        answer = client.chat.completions.create(**fields, messages=messages).choices[0]
        print(f"  answer: {answer.finish_reason} {answer.message.content!r:.200}")
        if not (answer.message.content or answer.message.tool_calls):
            faults.append("no answer after the result")
    return faults


if __name__ == "__main__":
    sys.exit(main())
