"""Prefect's server as this project starts it: who may speak to it, with a password and without."""

import asyncio
import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import websockets
from websockets.typing import Origin, Subprotocol

from deployments.doctor.running import prefect_checks, sign_in_check
from slipway.settings import Settings
from slipway.system.network import host_and_port
from tests.support.full_stack import AUTH, environment, prefect_server
from tests.support.project import printed_by

PROXY = "slipway.acme.example"
POLICY = "Content-Security-Policy"
SOCKETS = ("/api/events/in", "/api/events/out", "/api/logs/out")


@pytest.fixture(scope="module", params=[AUTH, None], ids=["password", "open"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Start the server alone, and return its address."""
    folder = tmp_path_factory.mktemp("prefect")
    open_ = {} if request.param else {"SLIPWAY_OPEN": "true"}
    variables = environment(folder, request.param) | open_ | {"SLIPWAY_ALLOWED_HOSTS": PROXY}
    with prefect_server(folder, variables) as url:
        yield url


@pytest.mark.parametrize("path", ["/", "/v2", "/api/health", "/api/admin/version", "/ui-settings"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_another_name_is_refused(server: str, method: str, path: str) -> None:
    """A page whose name points here (DNS rebinding) sends its own name."""
    port = server.rpartition(":")[2]

    for host in ("evil.example", f"evil.example:{port}", f"127.0.0.1.evil.example:{port}"):
        assert httpx.request(method, server + path, headers={"Host": host}).status_code == 400


@pytest.mark.parametrize(
    "host", ["", "localhost:{port}", "127.0.0.1:{port}", "[::1]:{port}", PROXY]
)
def test_a_name_of_ours_is_answered(server: str, host: str) -> None:
    """As its address names it, through a tunnel, or as the proxy in front of it."""
    headers = {"Host": host.format(port=server.rpartition(":")[2])} if host else {}

    assert httpx.get(f"{server}/api/health", headers=headers).status_code == 200


def test_a_page_of_another_site_is_refused(server: str) -> None:
    """Also where the browser would send it without asking first."""
    for origin in ("http://evil.example", "http://127.0.0.1:8888", "null"):
        answer = httpx.post(f"{server}/api/flows/filter", headers={"Origin": origin}, json={})
        assert answer.status_code == 403
    for origin in (server, f"https://{PROXY}"):
        assert httpx.get(f"{server}/api/health", headers={"Origin": origin}).status_code == 200


def test_a_page_may_speak_to_this_server_alone(server: str) -> None:
    """Prefect's pages load an analytics client, which the browser lets reach nobody."""
    page = httpx.get(f"{server}/sign-in")
    policy = dict(rule.split(" ", 1) for rule in page.headers[POLICY].split("; "))
    script = page.text.partition("<script>")[2].partition("</script>")[0]

    assert policy["default-src"] == "'self'"
    others = set(policy["connect-src"].split()) - {"'self'"}
    assert all(urlsplit(other).hostname == "127.0.0.1" for other in others)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy["script-src"] == f"'self' 'unsafe-eval' 'sha256-{digest}'"
    for path in ("/", "/v2/dashboard", "/api/health"):
        assert httpx.get(server + path).headers[POLICY] == page.headers[POLICY]


@pytest.mark.parametrize("path", SOCKETS)
def test_a_foreign_page_is_refused_at_the_handshake(server: str, path: str) -> None:
    """Nothing is read of it, and nothing told to it; nor under another name."""
    foreign: dict[str, Any] = {"origin": Origin("http://evil.example")}
    renamed = {"name": "evil.example"}

    for means in (foreign, renamed):
        with pytest.raises(websockets.InvalidStatus) as refused:
            asyncio.run(hello(server, path, **means))
        assert refused.value.response.status_code == 403


@pytest.mark.parametrize("path", SOCKETS)
@pytest.mark.parametrize("has_origin", [False, True], ids=["client", "page"])
def test_our_own_pages_and_clients_are_let_in(server: str, path: str, *, has_origin: bool) -> None:
    """Prefect's clients send no origin; its pages send the server's own."""
    origin = Origin(server) if has_origin else None

    assert asyncio.run(hello(server, path, origin=origin)) == "auth_success"


async def hello(server: str, path: str, *, name: str = "", **means: Any) -> str:
    """Sign in on a web socket, under another name if there is one, and return what it answers."""
    host, port = host_and_port(server)
    address = f"ws://{name or host}:{port}{path}"
    protocols = [Subprotocol("prefect")]
    async with websockets.connect(
        address, subprotocols=protocols, host=host, port=port, **means
    ) as socket:
        await socket.send(json.dumps({"type": "auth", "token": AUTH}))
        return str(json.loads(await asyncio.wait_for(socket.recv(), 10))["type"])


def test_the_doctor_tells_an_open_server_from_one_with_a_password(
    server: str, request: pytest.FixtureRequest
) -> None:
    """However it was started: it asks without a password."""
    has_password = request.node.callspec.params["server"] is not None

    check = sign_in_check("prefect", f"{server}/api/admin/version")

    assert check.status == ("ok" if has_password else "warn")
    assert ("slipway up" in check.advice) is not has_password


def test_the_doctor_tells_a_missing_work_pool_from_a_refused_password(
    server: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """As beside ``slipway ui``, which makes no pool."""
    auth = request.node.callspec.params["server"]
    settings = Settings(prefect_url=server, auth=auth, home=tmp_path)

    checks = {check.name: check for check in prefect_checks(settings)}

    assert checks["work pool"].result.startswith("slipway does not exist")
    assert checks["workers of slipway"].status == checks["workers of cpu"].status == "fail"
    assert checks["prefect sign-in"].status == ("ok" if auth else "warn")


TEMPORARY = """
import httpx
import flows
from prefect.client.orchestration import get_client
with get_client(sync_client=True) as client:
    flows = f"{client.api_url}flows/filter"
    print(client.read_flows(), httpx.post(flows, json={}).status_code, end="")
"""


def test_a_temporary_server_serves_the_command_that_started_it_alone(tmp_path: Path) -> None:
    """It listens on a port that anybody can guess, while the command runs."""
    assert printed_by(TEMPORARY, environment(tmp_path, None)) == "[] 401"


_MAKES_GARBAGE = """
import threading, time
from deployments.prefect_app import collect_garbage_in_a_thread

class Cursor:
    def __init__(self):
        self.itself = self
    def __del__(self):
        print(threading.current_thread().name)

collect_garbage_in_a_thread()
for _ in range(5_000):
    Cursor()
time.sleep(2.5)
"""


def test_garbage_is_collected_outside_the_thread_that_answers(tmp_path: Path) -> None:
    """A cursor that a failed statement leaves would stop that thread for up to 60 s."""
    printed = printed_by(_MAKES_GARBAGE, environment(tmp_path, AUTH))

    assert set(printed.split("\n")) == {"garbage collector", ""}
