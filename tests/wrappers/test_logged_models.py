"""The wrapper as MLflow carries it: logged in one process, loaded and asked in a fresh one."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.tiny_phi3 import CONVERSATIONS

HERE = Path(__file__).parent
CAPITAL, JOKE = "What is the capital of Spain?", "Tell me a joke."
Ask = Callable[..., Any]


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the store, the logged models and nothing else."""
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture(scope="session")
def environment(place: Path) -> dict[str, str]:
    """Return an environment that names the store and forbids pickles."""
    return os.environ | {
        "MLFLOW_TRACKING_URI": f"sqlite:///{place}/mlflow.db",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "DO_NOT_TRACK": "1",
    }


@pytest.fixture(scope="session")
def uris(place: Path, environment: dict[str, str], onnx_folder: Path) -> dict[str, str]:
    """Log the tiny model behind either contract, and a folder that no runtime can load."""
    (place / "broken").mkdir()
    (place / "broken" / "genai_config.json").write_text("{}", encoding="utf-8")
    request = {
        "wrapper": str(HERE.parents[1] / "wrappers" / "onnx_genai.py"),
        "artifacts": (place / "artifacts").as_uri(),
        "folders": {
            "prompt": [str(onnx_folder), "prompt"],
            "chat": [str(onnx_folder), "chat"],
            "broken": [str(place / "broken"), "prompt"],
        },
    }
    logged = subprocess.run(
        [sys.executable, str(HERE / "log_models.py"), json.dumps(request)],
        env=environment,
        cwd=place,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert logged.returncode == 0, logged.stderr
    return dict(json.loads(logged.stdout.splitlines()[-1]))


@pytest.fixture(scope="session")
def ask(place: Path, environment: dict[str, str], uris: dict[str, str]) -> Iterator[Ask]:
    """Return a function that asks a logged model and returns its reply."""
    with (
        (place / "stderr").open("w") as errors,
        subprocess.Popen(
            [sys.executable, str(HERE / "answer_requests.py")],
            env=environment,
            cwd=place,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as child,
    ):

        def send(name: str, **request: Any) -> Any:
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(json.dumps({"uri": uris[name]} | request) + "\n")
            child.stdin.flush()
            return json.loads(child.stdout.readline())

        yield send
        child.communicate()

    assert child.returncode == 0


def user(text: str) -> list[dict[str, str]]:
    """Return ``text`` as a conversation."""
    return [{"role": "user", "content": text}]


def content(completion: dict[str, Any], index: int = 0) -> str:
    """Return the text of one choice."""
    return str(completion["choices"][index]["message"]["content"])


def test_the_prompt_contract_answers_every_row(ask: Ask) -> None:
    """A batch gets one text a row, in order; an empty prompt is a prompt too."""
    reply = ask("prompt", rows=[{"prompt": CAPITAL}, {"prompt": ""}, {"prompt": JOKE}])
    first, middle, last = reply["answer"]

    assert [CONVERSATIONS[CAPITAL], CONVERSATIONS[JOKE]] == [first, last]
    assert isinstance(middle, str)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"prompt": CAPITAL}, [CONVERSATIONS[CAPITAL]]),
        ({"prompt": [CAPITAL, JOKE]}, [CONVERSATIONS[CAPITAL], CONVERSATIONS[JOKE]]),
        ([{"prompt": JOKE}], [CONVERSATIONS[JOKE]]),
        ({"prompt": f"<|user|>\n{JOKE}<|end|>\n<|assistant|>\n"}, [CONVERSATIONS[JOKE]]),
    ],
)
def test_every_form_of_a_prompt_gets_its_texts(ask: Ask, given: Any, expected: list[str]) -> None:
    """One prompt, a list in one column, a list of rows, and markup written by the caller."""
    reply = ask("prompt", input=given)

    assert expected == reply["answer"]


def test_a_row_without_a_prompt_is_refused(ask: Ask) -> None:
    """Answering None with something would hide a fault of the caller."""
    reply = ask("prompt", rows=[{"prompt": CAPITAL}, {"prompt": None}])

    assert "prompt is missing" in reply["error"]


def test_a_chat_gets_a_chat_completion(ask: Ask) -> None:
    """The answer has all that the contract names, and truthful counts."""
    (completion,) = ask("chat", input={"messages": user(CAPITAL)})["answer"]
    identifier = completion.pop("id")
    created = completion.pop("created")

    assert identifier.startswith("chatcmpl-")
    assert isinstance(created, int)
    assert completion == {
        "object": "chat.completion",
        "model": "tiny-chat",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": CONVERSATIONS[CAPITAL]},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 15, "completion_tokens": 15, "total_tokens": 30},
    }


def test_the_chat_contract_answers_every_row_by_its_own_fields(ask: Ask) -> None:
    """A field that one row lacks is NaN or None there, and then has its default."""
    rows = [
        {"messages": user(CAPITAL), "temperature": 0.0, "stop": ["Madrid"]},
        {"messages": user(JOKE), "temperature": None, "stop": None, "top_p": 0.0},
    ]
    first, second = ask("chat", rows=rows)["answer"]

    assert content(first) == "The capital of Spain is "
    assert content(second) == CONVERSATIONS[JOKE]
    assert first["id"] != second["id"]


def test_every_supported_field_of_a_chat_request_works(ask: Ask) -> None:
    """Fields that say no are as good as absent."""
    request = {
        "messages": [{"role": "system", "content": "Be brief."}, *user(CAPITAL)],
        "n": 2,
        "max_tokens": 3,
        "temperature": 1.5,
        "top_p": 0.9,
        "top_k": 10,
        "stop": ["nothing of the sort"],
        "stream": False,
        "frequency_penalty": 0.0,
        "presence_penalty": 0.0,
        "tools": [],
    }
    (completion,) = ask("chat", input=request)["answer"]

    assert [choice["index"] for choice in completion["choices"]] == [0, 1]
    assert completion["usage"]["completion_tokens"] <= 6


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("stream", True),
        ("logprobs", True),
        ("response_format", {"type": "json_object"}),
        ("min_p", 0.1),
        ("frequency_penalty", 0.5),
        ("presence_penalty", -0.5),
        ("custom_inputs", {"user": "ada"}),
        (
            "tools",
            [
                {
                    "type": "function",
                    "function": {
                        "name": "f",
                        "parameters": {"properties": {"x": {"type": "string"}}},
                    },
                }
            ],
        ),
    ],
)
def test_an_unsupported_field_is_refused_by_name(ask: Ask, field: str, value: Any) -> None:
    """Ignoring it would give an answer to another question."""
    reply = ask("chat", input={"messages": user(CAPITAL), field: value})

    assert f"FieldRefused: {field} is not supported" in reply["error"]


@pytest.mark.parametrize(
    ("messages", "fault"),
    [
        ([], "messages is empty"),
        ([{"role": "user"}], "messages.0.content is None"),
        ([*user("Hi"), {"role": "robot", "content": "Hi"}], "messages.1.role is 'robot'"),
        ([{"role": "user", "content": "a", "tool_call_id": "1"}], "messages.0.tool_call_id is not"),
    ],
)
def test_messages_that_cannot_be_used_are_refused_by_place(
    ask: Ask, messages: Any, fault: str
) -> None:
    """The error says which message and which field."""
    reply = ask("chat", input={"messages": messages})

    assert fault in reply["error"]


def test_a_message_of_a_client_can_be_sent_back(ask: Ask) -> None:
    """With all the fields that the official clients have in an answer's message."""
    said = {"role": "assistant", "content": None, "annotations": None, "tool_calls": []}
    text = [{"type": "text", "text": CAPITAL, "cache_control": {"type": "ephemeral"}}]
    messages = [*user(JOKE), said, {"role": "user", "content": text}]
    empty = [*user(JOKE), {"role": "assistant", "content": ""}, *user(CAPITAL)]
    [one], [other] = (ask("chat", input={"messages": each})["answer"] for each in (messages, empty))

    assert content(one) == content(other)
    assert one["usage"] == other["usage"]


def test_nothing_is_loaded_when_a_model_is_logged(ask: Ask, place: Path) -> None:
    """A folder that cannot be loaded was logged all the same; loading it names no path."""
    error = ask("broken", input={"prompt": CAPITAL})["error"]

    assert "the model's folder cannot be loaded" in error
    assert str(place) not in error


def test_no_reply_holds_a_path_of_this_machine(ask: Ask, place: Path) -> None:
    """Neither an answer nor a refusal tells a caller where the model lies."""
    answered = ask("chat", input={"messages": user(CAPITAL)})
    refused = ask("chat", input={"messages": user("a " * 600)})

    assert "the prompt has 1206" in refused["error"]
    assert not any(
        str(folder) in json.dumps([answered, refused]) for folder in (place, HERE.parents[1])
    )
