"""What was released serves over HTTP, and loads where nothing of this project is installed."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from flows.release_model import release_model
from slipway.values import Release
from tests.support.project import Project

QUESTION = "What is the capital of Spain?"
ANSWER = "The capital of Spain is Madrid."
CHAT = {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 20}


@contextmanager
def served(uri: str, tracking_uri: str) -> Iterator[str]:
    """Run `mlflow models serve` on loopback, and give the address of its /invocations."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["-m", "mlflow", "models", "serve", "-m", uri, "-h", "127.0.0.1", "-p", str(port)]
    programs = Path(sys.executable).parent  # MLflow looks for uvicorn as a shell would
    environment = os.environ | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_TRACKING_URI": tracking_uri,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    }
    process = subprocess.Popen(
        [sys.executable, *command, "--env-manager", "local"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}/ping", process)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        process.wait(timeout=30)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended"
        try:
            urllib.request.urlopen(url, timeout=2).close()  # noqa: S310 - our own address
        except OSError:
            time.sleep(0.3)
        else:
            return
    pytest.fail(f"{url} did not answer in 120 s")


def post(url: str, body: Any) -> Any:
    """Ask over HTTP, as any client would."""
    request = urllib.request.Request(  # noqa: S310 - our own address
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
        return json.loads(response.read())


def test_both_wrappers_answer_invocations(released: tuple[Project, Release]) -> None:
    """The ONNX wrapper takes prompts, every row of a batch; the other takes a chat."""
    project, release = released
    store = project.registry().location.uri

    with served(release.versions.onnx.uri, store) as url:
        batch = {"dataframe_records": [{"prompt": QUESTION}, {"prompt": "Count to ten."}]}
        assert post(url, batch) == {"predictions": [ANSWER, "1, 2, 3, 4, 5, 6, 7, 8, 9, 10."]}
    with served(release.versions.transformers.uri, store) as url:
        assert post(url, CHAT)[0]["choices"][0]["message"]["content"] == ANSWER


@pytest.mark.slow
def test_the_chat_contract_answers_invocations(released_project: Project) -> None:
    """With contract = "chat" the ONNX wrapper takes what OpenAI's clients send."""
    project = released_project
    project.edit('onnx = "prompt"', 'onnx = "chat"')
    release = release_model("tiny")

    with served(release.versions.onnx.uri, project.registry().location.uri) as url:
        answer = post(url, CHAT | {"temperature": 0, "stop": ["Madrid"]})
    choice = answer[0]["choices"][0]
    assert choice["message"]["content"] == "The capital of Spain is "
    assert choice["finish_reason"] == "stop"


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_both_wrappers_load_from_their_logged_requirements_alone(
    released: tuple[Project, Release], tmp_path: Path
) -> None:
    """A new virtual environment with a model's requirements.txt, and nothing else, answers."""
    project, release = released
    requirements = [
        _folder(project, release, kind) / "requirements.txt" for kind in ("onnx", "transformers")
    ]
    environment = tmp_path / "fresh"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet"]

    for file, question in zip(requirements, ({"prompt": QUESTION}, CHAT), strict=True):
        subprocess.run([*pip, "-r", str(file)], check=True)
        assert ANSWER in _asked(environment, file.parent, question)


def _folder(project: Project, release: Release, kind: str) -> Path:
    model_id = getattr(release.versions, kind).model_id
    return project.home / "mlflow" / "artifacts" / "tiny" / "models" / model_id / "artifacts"


def _asked(environment: Path, model: Path, question: Any) -> str:
    code = (
        "import json, sys, mlflow\n"
        "model = mlflow.pyfunc.load_model(sys.argv[1])\n"
        "print(json.dumps(model.predict(json.loads(sys.argv[2]))))\n"
    )
    return subprocess.run(
        [str(environment / "bin" / "python"), "-c", code, str(model), json.dumps(question)],
        env={"PATH": os.environ["PATH"], "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
