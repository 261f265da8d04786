"""The wrapper as MLflow carries it: logged in one process, loaded and asked in a fresh one."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_phi3 import CONVERSATIONS

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


def user(text: str) -> list[dict[str, str]]:
    """Return ``text`` as a conversation."""
    return [{"role": "user", "content": text}]

def test_x(ask):
    for name, kw in [
        ("prompt", {"input": {"prompt": CAPITAL}}),
        ("prompt", {"rows": [{"prompt": CAPITAL}, {"prompt": JOKE},{"prompt":""}]}),
        ("prompt", {"rows": [{"prompt": CAPITAL}, {"prompt": None}]}),
        ("prompt", {"input": {"prompt": [CAPITAL,JOKE]}}),
        ("chat", {"input": {"messages": user(CAPITAL)}}),
        ("chat", {"input": {"messages": user(CAPITAL), "n":2, "temperature":0, "stream":False,"max_tokens":3,"stop":["x"], "tools":[]}}),
        ("chat", {"rows": [{"messages": user(CAPITAL)}, {"messages": user(JOKE),"max_tokens":3,"temperature":0.0,"stop":["did"],"stream":False}]}),
        ("chat", {"input": {"messages": user(CAPITAL), "stream":True}}),
        ("chat", {"input": {"messages": user(CAPITAL), "frequency_penalty":0.5}}),
        ("chat", {"input": {"messages": user(CAPITAL), "frequency_penalty":0.0, "custom_inputs":{"a":1}}}),
        ("chat", {"input": {"messages": user(CAPITAL), "tools":[{"type":"function","function":{"name":"f"}}]}}),
        ("chat", {"input": {"messages": []}}),
        ("chat", {"input": {"messages": [{"role":"user"}]}}),
        ("chat", {"input": {"messages": user(CAPITAL), "foo":3}}),
        ("broken", {"input": {"prompt": CAPITAL}}),
    ]:
        print(name, str(kw)[:150], "\n   ->", str(ask(name, **kw))[:600])
