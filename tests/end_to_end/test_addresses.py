"""Servers that listen at one address, and are found at others: a forwarded port, a public name."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from mlflow import MlflowClient
from prefect.client.orchestration import get_client
from starlette.testclient import TestClient

from deployments.apply import signed_in
from slipway.serving import front
from slipway.settings import Settings
from tests.support.full_stack import AUTH, environment, serving
from tests.support.network import forwarded, free_port

USER, PASSWORD = SIGN_IN = AUTH.partition(":")[::2]
PUBLIC = "slipway.example"
LISTENS = "127.0.0.2"  # the other machines' way in; nothing is at 127.0.0.1
HEALTH = {"prefect": "/api/health", "mlflow": "/health"}
REFUSAL = {"prefect": 400, "mlflow": 403}
PAGE = {"prefect": "/ui-settings", "mlflow": "/api/2.0/mlflow/experiments/search?max_results=1"}


@contextmanager
def server_of(name: str, folder: Path) -> Iterator[tuple[dict[str, str], str]]:
    """Run a server; give its settings and the address at which it listens."""
    part, port = name.upper(), free_port()
    with ExitStack() as stack:
        found = f"http://127.0.0.1:{stack.enter_context(forwarded(LISTENS, port))}"
        variables = environment(folder, AUTH) | {
            f"SLIPWAY_{part}_URL": found,
            f"SLIPWAY_{part}_LISTEN": f"{LISTENS}:{port}",
            f"SLIPWAY_PUBLIC_{part}_URL": f"https://{PUBLIC}",
        }
        command = ["-m", "deployments.services", name]
        stack.enter_context(
            serving(name, command, variables, folder / "server.log", found + HEALTH[name])
        )
        yield variables, f"http://{LISTENS}:{port}"


@pytest.fixture(scope="module", params=["prefect", "mlflow"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, dict[str, str], str]]:
    """Return a server's name, its settings, and where it listens."""
    with server_of(request.param, tmp_path_factory.mktemp("addresses")) as (variables, listens):
        yield request.param, variables, listens


def test_a_server_listens_where_it_should_and_is_found_elsewhere(
    server: tuple[str, dict[str, str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own clients ask the address at which it is found."""
    name, variables, listens = server
    for variable in (each for each in variables if each.startswith("SLIPWAY_")):
        monkeypatch.setenv(variable, variables[variable])
    settings = Settings()

    assert httpx.get(listens + HEALTH[name]).status_code == 200
    if name == "prefect":
        with signed_in(settings), get_client(sync_client=True) as client:
            assert client.read_work_pools() == []
    else:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        (experiment,) = MlflowClient(settings.mlflow_url).search_experiments()
        assert experiment.name == "Default"


@pytest.mark.parametrize("host", [PUBLIC, f"{PUBLIC}:443", "localhost:1", LISTENS])
def test_a_server_answers_under_its_public_name(
    server: tuple[str, dict[str, str], str], host: str
) -> None:
    """Nobody has to name it in SLIPWAY_ALLOWED_HOSTS once more."""
    name, _, listens = server

    answer = httpx.get(listens + PAGE[name], headers={"Host": host}, auth=SIGN_IN)

    assert answer.status_code == 200, answer.text


def test_a_server_refuses_any_other_name(server: tuple[str, dict[str, str], str]) -> None:
    """A page whose name points here (DNS rebinding) sends its own name."""
    name, _, listens = server

    answer = httpx.get(listens + PAGE[name], headers={"Host": "evil.example"}, auth=("a", "b"))

    assert answer.status_code == REFUSAL[name]


def test_prefects_pages_ask_the_public_address(
    server: tuple[str, dict[str, str], str],
) -> None:
    """A browser cannot reach what the other parts ask; MLflow's pages ask relative addresses."""
    name, _, listens = server

    page = httpx.get(listens + {"prefect": "/ui-settings", "mlflow": "/"}[name], auth=SIGN_IN)

    if name == "prefect":
        assert page.json()["api_url"] == f"https://{PUBLIC}/api"
        assert f"wss://{PUBLIC}" in page.headers["Content-Security-Policy"]
    else:
        assert "127.0.0" not in page.text


@pytest.mark.parametrize(("host", "status"), [("serve.example:8080", 200), ("evil.example", 421)])
def test_a_model_server_answers_where_it_is_found(host: str, status: int) -> None:
    """It listens at every address of its container, which is no name that clients know."""
    settings = Settings(serving_url="http://serve.example:8080", serving_listen="0.0.0.0:8080")
    app = TestClient(front.create([], settings))

    assert app.get("/health", headers={"Host": host}).status_code == status
