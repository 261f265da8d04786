"""What the doctor says of a machine, before anything runs."""

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from deployments.doctor.check import Diagnosis
from deployments.doctor.machine import machine_checks
from deployments.doctor.running import _listening, _mlflow, prefect_checks
from deployments.services import model_server
from slipway.settings import Settings
from slipway.system.secret_files import secret
from tests.support.network import http_server


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a new home, of a machine on which nothing is set."""
    for name in ("AUTH", "OPEN", "ARTIFACTS"):
        monkeypatch.delenv(f"SLIPWAY_{name}", raising=False)
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path / "home"))
    tmp_path.joinpath("home").mkdir(mode=0o700)
    return tmp_path / "home"


def checked(name: str) -> Diagnosis:
    """Return one row of the doctor's table."""
    return next(each for each in machine_checks(Settings()) if each.name == name)


def test_it_says_which_password_there_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None yet, a generated one, none by choice, or a chosen one."""
    found = [checked("auth")]
    secret(home, "auth", "slipway:")
    found.append(checked("auth"))
    monkeypatch.setenv("SLIPWAY_OPEN", "true")
    found.append(checked("auth"))
    monkeypatch.delenv("SLIPWAY_OPEN")
    monkeypatch.setenv("SLIPWAY_AUTH", "operator:a-long-enough-password")
    found.append(checked("auth"))

    assert [each.status for each in found] == ["ok", "ok", "warn", "ok"]
    for check, words in zip(
        found,
        ("no password yet", str(home / "secrets" / "auth"), "SLIPWAY_OPEN", "SLIPWAY_AUTH"),
        strict=True,
    ):
        assert words in check.finding


def test_a_service_beyond_this_machine_needs_a_chosen_password(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`slipway up` would start nothing."""
    secret(home, "auth", "slipway:")
    monkeypatch.setenv("SLIPWAY_PREFECT_URL", "http://0.0.0.0:4200")

    assert checked("auth").status == "fail"
    assert "http://0.0.0.0:4200" in checked("auth").finding


@pytest.mark.parametrize("place", ["home", "artifacts"])
def test_what_other_users_may_read_is_found(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Databases and models are in these folders; the advice closes them."""
    monkeypatch.setenv("SLIPWAY_ARTIFACTS", str(tmp_path / "artifacts"))
    tmp_path.joinpath("artifacts").mkdir(mode=0o700)
    assert checked("home").status == "ok"

    tmp_path.joinpath(place).chmod(0o755)

    assert checked("home").status == "fail"
    assert checked("home").advice == f"run `chmod -R go= {tmp_path / place}`"


class OneSilentWorker(BaseHTTPRequestHandler):
    """Answers ``/ready`` as a model server does, one of whose two workers has a silent engine."""

    asked = 0

    def do_GET(self) -> None:
        """Answer."""
        OneSilentWorker.asked += 1
        is_silent = self.path == "/ready" and OneSilentWorker.asked % 2 == 0
        self.send_response(503 if is_silent else 200)
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@pytest.mark.usefixtures("home")
def test_a_worker_whose_engine_is_silent_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Although the server listens, and its other worker is ready."""
    with http_server(OneSilentWorker) as server:
        monkeypatch.setenv("SLIPWAY_SERVING_URL", f"http://127.0.0.1:{server.server_port}")
        found = _listening(model_server(Settings()))

    assert (found.status, "no sign of life" in found.finding) == ("fail", True)


class Refusing(BaseHTTPRequestHandler):
    """Answers each request with a status, which may be that of the last part of its path."""

    statuses: dict[str, int]

    def do_GET(self) -> None:
        """Answer with a page that is no JSON, or with an empty object."""
        last = urlsplit(self.path).path.rpartition("/")[2]
        status = self.statuses.get(last, self.statuses["*"])
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b"{}" if status == 200 and last != "webhooks" else b"<h1>No</h1>")

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@pytest.fixture
def refusing(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """Run such a server in the place of Prefect and MLflow; give the statuses that it answers."""
    monkeypatch.setattr(Refusing, "statuses", {"*": 200}, raising=False)
    secret(home, "auth", "slipway:")
    with http_server(Refusing) as server:
        for name in ("SLIPWAY_MLFLOW_URL", "SLIPWAY_PREFECT_URL"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{server.server_port}")
        yield Refusing.statuses


@pytest.mark.parametrize("check", [_mlflow, prefect_checks])
@pytest.mark.parametrize(
    ("status", "advice"), [(401, "set SLIPWAY_AUTH"), (403, "set SLIPWAY_AUTH"), (500, "read its")]
)
def test_a_password_is_to_blame_only_where_the_server_says_so(
    refusing: dict[str, int],
    check: Callable[[Settings], list[Diagnosis]],
    status: int,
    advice: str,
) -> None:
    """Of a server that fails, its log says why."""
    refusing["*"] = status

    [found] = check(Settings())

    assert (found.status, found.finding) == ("fail", f"the server answers {status}")
    assert found.advice.startswith(advice)


def test_somebody_else_of_the_environment_is_to_blame(
    refusing: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their password is sent and not this home's, whose users are no reason to remove anything."""
    refusing["*"] = 401
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "a-password-of-before")

    [found] = _mlflow(Settings().in_use)

    assert found.advice.startswith("set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")


def test_a_server_elsewhere_knows_other_people(
    refusing: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The users of this home are not its users."""
    refusing["*"] = 401
    monkeypatch.setenv("MLFLOW_TRACKING_URI", Settings().mlflow_url)
    monkeypatch.setenv("SLIPWAY_MLFLOW_URL", "http://127.0.0.1:9")

    [found] = _mlflow(Settings().in_use)

    assert found.advice.startswith("set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")


@pytest.mark.parametrize("status", [200, 404, 500])
def test_a_server_that_lists_no_webhooks_is_found(refusing: dict[str, int], status: int) -> None:
    """An older one, or a proxy with a page of its own; the doctor does not fail."""
    refusing["webhooks"] = status

    *_, found = _mlflow(Settings())

    assert (found.name, found.status) == ("mlflow webhook", "warn")
    assert found.finding == f"the server answers {status} without a list of webhooks"


MLFLOW = {"MLFLOW_TRACKING_URI": "https://mlflow.example"}
CATALOG = MLFLOW | {"MLFLOW_REGISTRY_URI": "databricks-uc"}


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("variables", "status", "found"),
    [
        ({}, "ok", "where the runs are"),
        (CATALOG | {"SLIPWAY_REGISTRY_SCHEMA": "main.models"}, "warn", "no search by tag"),
        (CATALOG, "fail", "names of three parts"),
        (MLFLOW | {"MLFLOW_REGISTRY_URI": "https://b.example"}, "warn", "is ignored"),
        ({"MLFLOW_TRACKING_URI": "azureml://eastus.example"}, "fail", "no logged models"),
    ],
)
def test_it_says_what_a_registry_lacks_before_a_release(
    variables: dict[str, str], status: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the addresses alone."""
    for name, text in variables.items():
        monkeypatch.setenv(name, text)

    assert checked("registry").status == status
    assert found in checked("registry").finding
