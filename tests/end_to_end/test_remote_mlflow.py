"""The line against an MLflow server on another machine, with a password and an artifact proxy.

The server's artifacts are in a file system that is mounted for its process alone. So a client that
would open them itself finds an empty folder.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.full_stack import AUTH, environment, serving
from tests.support.project import Project
from tests.support.unity_catalog import SCHEMA, unity_catalog

USER, PASSWORD = AUTH.split(":")
QUESTION = "What is the capital of Spain?"

#: Becomes the rest of its arguments, with an empty file system of its own at the first one.
_WITH_A_FOLDER_OF_ITS_OWN = """\
import os, sys
mount = 'mount -t tmpfs none "$0" && exec "$@"'
os.execvp("unshare", ["unshare", "--mount", "sh", "-c", mount, *sys.argv[1:]])
"""


def _may_mount() -> bool:
    command = ["unshare", "--mount", "true"]
    return not subprocess.run(command, check=False, capture_output=True).returncode


pytestmark = [
    pytest.mark.machines,
    pytest.mark.slow,
    pytest.mark.skipif(not _may_mount(), reason="mounts a file system, which takes root"),
]


@dataclass(frozen=True)
class RemoteMlflow:
    """An MLflow server.

    Attributes:
        url: Where it listens.
        artifacts: Its folder of artifacts, as other processes see it.
    """

    url: str
    artifacts: Path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteMlflow]:
    """Run the server."""
    folder = tmp_path_factory.mktemp("server")
    artifacts = folder / "artifacts"
    artifacts.mkdir()
    variables = environment(folder, AUTH) | {"SLIPWAY_ARTIFACTS": str(artifacts)}
    command = [sys.executable, "-m", "deployments.services", "mlflow"]
    arguments = ["-c", _WITH_A_FOLDER_OF_ITS_OWN, str(artifacts), *command]
    url = variables["SLIPWAY_MLFLOW_URL"]
    with serving("MLflow", arguments, variables, folder / "log", f"{url}/health"):
        yield RemoteMlflow(url, artifacts)


@pytest.fixture
def client(project: Project, server: RemoteMlflow, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a project of another machine, whose settings name the server."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    return project


def test_a_model_is_released_and_answers_without_a_way_to_the_servers_files(
    client: Project, server: RemoteMlflow, printed: Callable[..., Any]
) -> None:
    """Everything goes through the server; nothing of MLflow's is written on this machine."""
    assert printed("release", "tiny")["verdict"]["kind"] == "promoted"

    assert "Madrid" in json.dumps(printed("predict", "tiny", QUESTION))
    assert list(server.artifacts.iterdir()) == []
    assert not (client.home / "mlflow" / "artifacts").exists()
    assert printed("release", "tiny")["existed"]


@pytest.mark.usefixtures("client")
def test_its_versions_may_be_in_unity_catalog(
    server: RemoteMlflow, printed: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs and files stay on the server. The catalog is a stub."""
    with unity_catalog(monkeypatch) as catalog:
        assert printed("release", "tiny")["verdict"]["kind"] == "promoted"

        aliases = {"candidate": "1", "champion": "1"}
        assert catalog.models == {
            f"{SCHEMA}.tiny": aliases,
            f"{SCHEMA}.tiny-transformers": aliases,
        }
        assert "Madrid" in json.dumps(printed("predict", "tiny", QUESTION))
        assert printed("release", "tiny")["existed"]
        assert list(server.artifacts.iterdir()) == []
