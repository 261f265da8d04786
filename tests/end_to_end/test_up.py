"""One machine, everything running: ``slipway up`` with a password, and nothing released yet."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from socket import gethostname
from typing import Any

import httpx
import pytest
import websockets

from commands import main
from slipway.system.network import answers
from tests.support.full_stack import AUTH, SERVERS, Running, by_hand_alone, environment, running
from tests.support.network import free_port
from tests.support.project import PROJECT
from tests.support.server_routes import filled

USER, PASSWORD = AUTH.split(":")
REFUSED = {401, 403}
OWN_QUEUE = f"serve-{gethostname()}"

#: What a stranger may see, and why. Everything else must refuse.
OPEN = {
    "/": "Prefect: the files of the UI's empty shell, which asks for the password",
    "/v2": "Prefect: likewise, of the new UI",
    "/ui-settings": "Prefect: tells the shell that there is a password",
    "/api/3.0/mlflow/server-info": "MLflow: its kind of store, for clients that sign in afterwards",
    "/ajax-api/3.0/mlflow/server-info": "MLflow: likewise, for its UI",
    "/static-files/<path:path>": "MLflow: scripts and pictures of the UI, as in its package",
}

#: Say that a server runs, and nothing else.
HEALTH = {"/health", "/api/health", "/api/ready"}


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Iterator[Running]:
    """Run everything for the tests of this module."""
    folder = tmp_path_factory.mktemp("up")
    with running(folder, checkpoint, arrange=by_hand_alone) as started:
        yield started


def state(everything: Running) -> dict[str, Any]:
    """Return all that is applied to the servers, without what differs at every look."""
    kinds = ("automations", "deployments", "work_pools", "work_queues", "concurrency_limits")
    found = {kind: everything.prefect(f"/{kind}/filter", {}) for kind in kinds}
    address = f"{everything.url('mlflow')}/api/2.0/mlflow/webhooks"
    found["webhooks"] = httpx.get(address, auth=(USER, PASSWORD), timeout=60).json()["webhooks"]
    return _still(found)


def _still(value: Any) -> Any:
    """Return the same without clocks and without an order among what servers keep as sets."""
    if isinstance(value, dict):
        moving = {"created", "updated", "last_polled", "last_updated_timestamp", "status"}
        moving |= {"active_slots"}  # a scheduled run may begin or end meanwhile
        kept = {name: each for name, each in value.items() if name not in moving}
        if "trigger" in kept:
            kept = {name: each for name, each in kept.items() if name != "id"}
            kept["trigger"] = {n: each for n, each in kept["trigger"].items() if n != "id"}
        return {name: _still(each) for name, each in kept.items()}
    if isinstance(value, list):
        return sorted((_still(each) for each in value), key=json.dumps)
    return value


def test_every_address_answers(everything: Running) -> None:
    """The table names six, of which the last waits for a champion."""
    said = everything.said.read_text(encoding="utf-8")

    for server, path in {
        "prefect": "/api/health",
        "mlflow": "/health",
        "receiver": "/health",
        "worker": "/health",
        "release_worker": "/health",
    }.items():
        assert everything.url(server) in said
        assert answers(everything.url(server) + path)
    assert not answers(everything.url("serving") + "/health")


def test_all_deployments_and_automations_are_there(everything: Running) -> None:
    """Those of prefect.yaml with their triggers, and those that YAML cannot say."""
    deployments = everything.prefect("/deployments/filter", {})
    automations = everything.prefect("/automations/filter", {})

    assert {each["name"] for each in deployments} == {
        "release-model",
        "release-model-cuda",
        "release-catalogue",
        "watch-sources",
        "redeploy",
        "watch-switch",
        "roll-back",
        "promote-release",
        "approve-model",
        "reconcile",
        "clean",
    }
    assert {each["name"] for each in automations} == {
        "redeploy a champion that has moved",
        "watch a source that has changed",
        "watch a switch",
        "slipway: crash runs that went silent",
        "slipway: crash runs that never started",
        "slipway: reconcile after a failed action",
    }


def test_redeploys_wait_in_the_queue_of_this_host(everything: Running) -> None:
    """Workers of other machines do not take what needs the model server beside them."""
    deployments = everything.prefect("/deployments/filter", {})
    queued = {each["name"] for each in deployments if each["work_queue_name"] == OWN_QUEUE}

    assert queued == {"redeploy", "watch-switch", "reconcile"}


def test_schedules_make_runs(everything: Running) -> None:
    """The server's scheduler works: of each deployment with a schedule, the next run is there."""
    deadline = time.monotonic() + 90
    scheduled: set[str] = set()
    while not scheduled >= {"watch-sources", "release-catalogue", "reconcile"}:
        assert time.monotonic() < deadline, scheduled
        time.sleep(2)
        names = {each["id"]: each["name"] for each in everything.prefect("/deployments/filter", {})}
        runs = everything.prefect("/flow_runs/filter", {})
        scheduled = {names[each["deployment_id"]] for each in runs if each["auto_scheduled"]}


def test_applying_again_changes_nothing(everything: Running) -> None:
    """Pools, deployments, schedules, automations and webhook are as they were."""
    before = state(everything)

    done = everything.command("-m", "deployments.apply")

    assert done.returncode == 0, done.stdout + done.stderr
    assert state(everything) == before
    assert len(before["webhooks"]) == 1


@pytest.mark.parametrize("server", ["prefect", "mlflow"])
def test_a_stranger_is_refused_everywhere(everything: Running, server: str) -> None:
    """Every method of every route that the server's own map lists, called without a password."""
    routes = _routes(everything, server)

    with httpx.Client(base_url=everything.url(server), timeout=30) as stranger:
        seen = {
            (method, path): stranger.request(method, filled(path)).status_code
            for method, path in routes
            if method != "WEBSOCKET"
        }

    assert len(seen) > 150
    assert len(OPEN) <= 6
    assert {path for (_, path), code in seen.items() if code not in REFUSED} <= set(OPEN) | HEALTH


def test_mlflow_answers_under_its_own_names_and_to_its_own_pages(everything: Running) -> None:
    """MLflow's own checks are on: of the name for each request, of the page for each change."""
    url = everything.url("mlflow")
    api = f"{url}/api/2.0/mlflow/experiments/create"
    evil = {"Origin": "http://evil.example"}

    with httpx.Client(auth=(USER, PASSWORD)) as person:
        for host in ("evil.example", "10.evil.example", "127.0.0.1.evil.example:5000"):
            assert person.get(url, headers={"Host": host}).status_code == 403
        assert person.get(url, headers={"Host": "localhost:9000"}).status_code == 200
        assert person.post(api, json={"name": "evil"}, headers=evil).status_code == 403
        assert person.post(api, json={"name": "mine"}, headers={"Origin": url}).status_code == 200
        routes = _routes(everything, "mlflow")
    assert [path for method, path in routes if method == "WEBSOCKET"] == []


def test_a_stranger_hears_nothing_on_a_web_socket(everything: Running) -> None:
    """Each is closed before it says anything: at the handshake, or for want of a password."""
    paths = [path for method, path in _routes(everything, "prefect") if method == "WEBSOCKET"]

    heard = [asyncio.run(_listen(everything.url("prefect"), path)) for path in paths]

    assert len(paths) >= 3
    assert heard == ["closed"] * len(paths)


async def _listen(url: str, path: str) -> str:
    address = url.replace("http", "ws", 1) + filled(path)
    wrong = {"type": "auth", "token": "operator:a-wrong-password", "filter": {}}
    try:
        async with websockets.connect(address, subprotocols=["prefect"]) as socket:  # type: ignore[list-item]
            await socket.send(json.dumps(wrong))
            said = json.loads(await asyncio.wait_for(socket.recv(), 10))
            return "closed" if said.get("type") == "auth_failure" else str(said)
    except (websockets.InvalidStatus, websockets.ConnectionClosed, websockets.InvalidHandshake):
        return "closed"


def _routes(everything: Running, server: str) -> list[tuple[str, str]]:
    code = (
        "import json, sys; from deployments.services import named, service_environment;"
        "from slipway.settings import Settings; service = named(sys.argv[1], Settings());"
        "print(json.dumps(service_environment(service, Settings())))"
    )
    told = everything.command("-c", code, server)
    variables = json.loads(told.stdout)
    beside = Running(everything.home, variables, everything.said, everything.process)
    listed = beside.command("tests/support/server_routes.py", server)
    assert listed.returncode == 0, listed.stderr[-2000:]
    return [(method, path) for method, path in json.loads(listed.stdout.splitlines()[-1])]


def test_the_doctor_finds_nothing_that_fails(everything: Running) -> None:
    """It only says that nothing serves yet, and that the Hub cannot be reached from here."""
    done = everything.command("-c", "from commands.main import main; main()", "doctor", "--json")

    checks = json.loads(done.stdout)
    assert done.returncode == 0
    assert {each["name"] for each in checks if each["status"] != "ok"} <= {
        *("hub", "memory", "disk", "model-server")
    }
    assert {"prefect", "mlflow", "worker", "release-worker", "receiver", "model-server"} <= {
        each["name"] for each in checks
    }


def test_the_doctor_says_what_to_do_with_a_wrong_password(everything: Running) -> None:
    """Both servers refuse it, and the exit code says so too."""
    wrong = dict(everything.environment) | {"SLIPWAY_AUTH": "operator:another-long-password"}
    beside = Running(everything.home, wrong, everything.said, everything.process)

    done = beside.command("-c", "from commands.main import main; main()", "doctor", "--json")

    failed = {
        each["name"]: each["advice"] for each in json.loads(done.stdout) if each["status"] == "fail"
    }
    assert done.returncode == 1
    assert set(failed) == {"prefect sign-in", "mlflow sign-in"}
    assert all("SLIPWAY_AUTH" in advice for advice in failed.values())


def test_a_second_one_on_the_same_home_starts_nothing(everything: Running) -> None:
    """Also on other ports: two Prefect servers on one database lock each other out."""
    elsewhere = {
        f"SLIPWAY_{each.upper()}_URL": f"http://127.0.0.1:{free_port()}" for each in SERVERS
    }
    done = everything.command("-c", "from commands.main import main; main()", "up", **elsewhere)

    pid, url = everything.process.pid, everything.url("prefect")
    assert done.returncode == 2
    assert done.stderr == (
        f"slipway: the prefect server of {everything.home} is running already: process {pid}, at "
        f"{url}; stop it first (Ctrl-C), or set SLIPWAY_HOME to another folder\n"
    )
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert everything.process.poll() is None


def test_one_in_another_home_says_which_port_is_taken(everything: Running, tmp_path: Path) -> None:
    """It starts nothing, and leaves the first one alone."""
    home = {"SLIPWAY_HOME": str(tmp_path)}
    done = everything.command("-c", "from commands.main import main; main()", "up", **home)

    port = everything.url("prefect").rpartition(":")[2]
    assert done.returncode == 2
    assert done.stderr.startswith(f"slipway: port {port} of prefect is taken")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert everything.process.poll() is None


def test_a_command_uses_the_servers_that_run_in_its_home(everything: Running) -> None:
    """The flow run of a rollback that is refused is in the running server."""
    words = ("rollback", "tiny", "--reason", "of a test", "--failed", "7")
    done = everything.command("-c", "from commands.main import main; main()", *words)

    asked = {"flows": {"name": {"any_": ["roll-back"]}}}
    runs = everything.prefect("/flow_runs/filter", asked)
    assert done.returncode != 0
    assert [each["parameters"]["failed"] for each in runs] == [7]
    assert "temporary server" not in done.stderr


@pytest.mark.slow
def test_a_new_entry_reaches_the_run_form_without_a_restart(everything: Running) -> None:
    """The catalogue is watched; the deployments are applied again."""
    catalogue = Path(everything.environment["SLIPWAY_CATALOGUE"])
    text = catalogue.read_text(encoding="utf-8")
    other = text.replace("models.tiny", "models.other")
    catalogue.write_text(f"{text}\n{other}", encoding="utf-8")
    deadline = time.monotonic() + 180
    while "other" not in (models := _models_of_the_form(everything)):
        assert time.monotonic() < deadline, everything.said.read_text(encoding="utf-8")
        time.sleep(1)

    assert models == ["tiny", "other"]
    catalogue.write_text(text, encoding="utf-8")


def _models_of_the_form(everything: Running) -> list[str]:
    found = everything.prefect("/deployments/filter", {})
    (release,) = (each for each in found if each["name"] == "release-model")
    return list(release["parameter_openapi_schema"]["properties"]["model"]["enum"])


@pytest.mark.parametrize("words", [("up",), ("up", "--open"), ("ui",)])
def test_it_does_not_listen_beyond_this_machine_without_a_password(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    """One line says which address, and what to do; nothing is started."""
    variables = environment(tmp_path, None) | {"SLIPWAY_MLFLOW_URL": "http://0.0.0.0:5999"}

    done = subprocess.run(
        [sys.executable, "-c", "from commands.main import main; main()", *words],
        env=variables,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "slipway: other machines could reach http://0.0.0.0:5999 without a password, so nothing "
        "was started; set SLIPWAY_AUTH=user:password, or listen on 127.0.0.1\n"
    )


def test_the_uis_that_run_already_are_named(everything: Running) -> None:
    """A release ends by naming `slipway ui`; beside `slipway up` it has nothing to start."""
    done = everything.command("-c", "from commands.main import main; main()", "ui")

    assert done.returncode == 0
    assert all(everything.url(server) in done.stdout for server in ("prefect", "mlflow"))


def test_secrets_are_for_their_owner_alone(everything: Running) -> None:
    """Files made by `slipway up`, and none of them said aloud."""
    files = list((everything.home / "secrets").iterdir())
    printed = everything.said.read_text(encoding="utf-8")

    assert {file.name for file in files} == {
        "block-encryption",
        "mlflow-auth.ini",
        "mlflow-forms",
        "mlflow-webhook",
        "webhook-encryption",
    }
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert everything.home.stat().st_mode & 0o777 == 0o700
    laid_out = {everything.home / "mlflow", *(everything.home / "mlflow").glob("mlflow.db*")}
    written = {path for path in everything.home.rglob("*") if not path.is_symlink()} - laid_out
    pages = everything.home / "prefect" / "ui"  # have the modes of Prefect's package
    brief = everything.home / "tmp"  # of runs, which remove it
    ours = {path for path in written if not path.is_relative_to(pages) | path.is_relative_to(brief)}
    assert [path for path in ours if path.stat().st_mode & 0o077] == []
    assert PASSWORD not in printed


@pytest.mark.slow
def test_json_is_alone_on_standard_output_of_every_command(
    everything: Running, tmp_path: Path
) -> None:
    """Also of those that fail, and of a release through MLflow's server, which prints addresses."""
    every = (
        ("release", "tiny"),
        ("plan", "tiny"),
        ("models",),
        ("suite", "check", str(PROJECT / "expectations/prompts/full.jsonl")),
        ("status",),
        ("compare", "tiny"),
        ("evaluate", "tiny", "--tasks", "a-task-that-nobody-wrote"),
        ("history", "tiny"),
        ("verify", "tiny"),
        ("predict", "tiny", "What is the capital of Spain?"),
        ("redeploy", "tiny"),
        ("approve", "tiny", "--reason", "nothing waits"),
        ("rollback", "tiny", "--reason", "nothing is before it"),
        ("variants", "acme/tiny"),
        ("add", "hf:acme/tiny"),
        ("init", str(tmp_path / "own")),
        ("du",),
        ("clean", "--dry-run"),
        ("doctor",),
        ("keys", "list"),
        ("promote", "tiny", "--to", "nowhere"),
        ("bundle", "tiny", "--output", str(tmp_path / "tiny.bundle")),
        ("unbundle", str(tmp_path / "no.bundle")),
        ("export", "tiny", "--oci", str(tmp_path / "image")),
        ("users", "list"),
    )
    assert {words[0] for words in every} == {name.partition(" ")[0] for name in main._COMMANDS} - {
        "beside",
        "card",
        "chat",
        "serve",
        "ui",
        "up",
    }

    for words in every:
        done = everything.command("-c", "from commands.main import main; main()", *words, "--json")
        document = json.loads(done.stdout)
        assert done.returncode in {0, *([document["exit_code"]] if "exit_code" in document else [])}
