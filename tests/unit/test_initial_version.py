"""Which version the model server starts with."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from deployments.initial_version import ensure_pointers
from slipway.serving.protocol import Pointer, read_pointer, write_pointer
from slipway.settings import Settings
from tests.support.network import http_server


class Champions(BaseHTTPRequestHandler):
    """MLflow's answer to who the champion is."""

    versions: dict[str, str]
    headers_seen: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        """Answer as the registry does."""
        self.headers_seen.append(self.headers["Authorization"])
        (name,) = parse_qs(urlsplit(self.path).query)["name"]
        version = self.versions.get(name)
        self.send_response(200 if version else 404)
        self.end_headers()
        self.wfile.write(json.dumps({"model_version": {"version": version}}).encode())

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Return settings with such a registry."""
    monkeypatch.setattr(Champions, "versions", {"one": "3", "two": "5"}, raising=False)
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    with http_server(Champions) as server:
        monkeypatch.setenv("SLIPWAY_MLFLOW_URL", f"http://127.0.0.1:{server.server_port}")
        yield Settings()


def pointers(folder: Path, *names: str) -> list[Path]:
    """Return the pointer files of models."""
    return [folder / name / "pointer.json" for name in names]


def test_each_model_starts_with_its_champion(settings: Settings, tmp_path: Path) -> None:
    """A model without one waits, and the others do not wait for it."""
    one, two, three = files = pointers(tmp_path, "one", "two", "three")

    ensure_pointers(files, settings)

    assert read_pointer(one) == Pointer(model="one", version=3)
    assert read_pointer(two) == Pointer(model="two", version=5)
    assert not three.exists()


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "Basic b3BzOmEtbG9uZy1wYXNzd29yZA=="),
        ({"USERNAME": "ann", "PASSWORD": "her-password"}, "Basic YW5uOmhlci1wYXNzd29yZA=="),
        ({"TOKEN": "a-token"}, "Bearer a-token"),
    ],
)
def test_the_environment_says_who_signs_in(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    expected: str,
) -> None:
    """As MLflow's own client reads it; otherwise this home's password does."""
    monkeypatch.setenv("SLIPWAY_AUTH", "ops:a-long-password")
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    for name, text in variables.items():
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", text)

    ensure_pointers(pointers(tmp_path, "one"), Settings())

    assert Champions.headers_seen[-1] == expected


def test_a_first_champion_is_noticed_later(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked for again and again, and what is served already stays as it is."""
    one, three = files = pointers(tmp_path, "one", "three")
    write_pointer(one, Pointer(model="one", version=2))
    ensure_pointers(files, settings)
    monkeypatch.setitem(Champions.versions, "three", "1")

    ensure_pointers(files, settings)

    assert read_pointer(one).version == 2
    assert read_pointer(three).version == 1


def test_a_registry_that_runs_elsewhere_is_asked(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Releases go there, and so the server of this home has no champions."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", settings.mlflow_url)
    monkeypatch.setenv("SLIPWAY_MLFLOW_URL", "http://127.0.0.1:9")
    (one,) = files = pointers(tmp_path, "one")

    ensure_pointers(files, Settings())

    assert read_pointer(one) == Pointer(model="one", version=3)


def test_an_answer_of_another_server_names_no_champion(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a proxy's page that asks to sign in; ``slipway up`` goes on."""
    monkeypatch.setitem(Champions.versions, "one", "sign in")
    (one,) = files = pointers(tmp_path, "one")

    ensure_pointers(files, settings)

    assert not one.exists()


def test_without_a_registry_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be starting."""
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    monkeypatch.setenv("SLIPWAY_MLFLOW_URL", "http://127.0.0.1:9")
    (one,) = files = pointers(tmp_path, "one")

    ensure_pointers(files, Settings())

    assert not one.exists()
