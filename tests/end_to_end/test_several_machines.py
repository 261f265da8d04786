"""Several machines, of which parts are killed, cut off and lost while they release.

The servers are on A, with PostgreSQL. Workers are on B and C. D has the host name of C. S has an S3
store, which A alone can reach. All of them share the cores of this machine, so nothing here tells
how fast several machines are.

Every test ends with the same look at everything: no version twice, the aliases of both wrappers on
the same release, nothing left of what was killed. ``-s`` prints how each run ended.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlflow import MlflowClient

from slipway.system.network import wait_until_answers
from slipway.tracking import heartbeat
from slipway.tracking.location import MlflowLocation
from tests.support import hosts, postgresql, s3_store
from tests.support.fake_registry import FakeRegistry, registry_at
from tests.support.full_stack import AUTH, Running, environment
from tests.support.hosts import Host, Network
from tests.support.hub import LocalHub
from tests.support.invariants import home_violations, registry_violations
from tests.support.mover import Mover, at_once, require_both_done
from tests.support.postgresql import Cluster, cluster
from tests.support.project import Project, lay_out

pytestmark = [pytest.mark.machines, pytest.mark.slow, pytest.mark.timeout(3600)]

ROUNDS = int(os.environ.get("ROUNDS", "20"))
MODELS = tuple(f"model-{number:02}" for number in range(1, 13))
REPO = "slipway/tiny-phi3"
USER, PASSWORD = AUTH.split(":")
CALL = "import sys; from commands.main import run; sys.exit(run(sys.argv[1:]))"
CLAIM = """
import pathlib, sys
from slipway.system import temporary
temporary.claim(pathlib.Path(sys.argv[1]))
"""
S3_NETWORK, S3_PORT = "198.19.7", 9000
AWAY_SECONDS = 20
OUTCOMES = {"Completed", "Already released"}


@dataclass
class Scene:
    """The machines, and what runs on them.

    Attributes:
        network: What connects them.
        folder: Holds a folder for each, with catalogue, expectations, home and logs.
        machines: By their letter.
        database: On A.
        servers: On A.
        edits: How often the prompts were changed, which makes a new release of every model.
    """

    network: Network
    folder: Path
    machines: Mapping[str, Host]
    database: Cluster
    servers: Running
    edits: int = 0

    @property
    def client(self) -> MlflowClient:
        """MLflow's client, as the administrator."""
        return MlflowClient(self.servers.url("mlflow"), self.servers.url("mlflow"))

    def home(self, letter: str) -> Path:
        """Return where a machine keeps its state."""
        return self.folder / letter / "home"

    def change(self) -> None:
        """Let the next release of every model be a new one: its prompts are other bytes."""
        self.edits += 1
        for file in self.folder.glob("*/expectations/prompts/brief.json"):
            file.write_text(file.read_text(encoding="utf-8") + "\n", encoding="utf-8")

    def client_variables(self, letter: str) -> dict[str, str]:
        """Return the settings of a command on a machine."""
        servers = {
            "PREFECT_API_URL": f"{self.servers.url('prefect')}/api",
            "MLFLOW_TRACKING_URI": self.servers.url("mlflow"),
        }
        return variables_of(self.folder / letter, self.machines["a"].address) | servers

    def command(self, letter: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of ``slipway`` on a machine."""
        variables = self.client_variables(letter)
        return self.machines[letter].run(sys.executable, "-c", CALL, *words, variables=variables)

    @contextmanager
    def workers(self, *letters: str, room_for: int = 1) -> Iterator[list[psutil.Process]]:
        """Run a worker on each of these machines, with room for some releases; give the workers."""
        with ExitStack() as stack:
            yield [stack.enter_context(self._worker(each, room_for)) for each in letters]

    @contextmanager
    def _worker(self, letter: str, room_for: int) -> Iterator[psutil.Process]:
        host, began = self.machines[letter], datetime.now(UTC)
        room_gb = psutil.virtual_memory().total / 1e9 / (room_for + 0.5)
        variables = variables_of(self.folder / letter, self.machines["a"].address)
        variables |= {"SLIPWAY_STEP_MEMORY_GB": f"{room_gb - 1:.1f}"}
        service = (sys.executable, "-P", "-m", "deployments.services", "release-worker")
        log = self.folder / letter / "worker.log"
        with host.running(*service, variables=variables, log=log) as process:
            deadline = time.monotonic() + 120
            while not self._is_online(host.name, began):
                assert process.is_running(), log.read_text(encoding="utf-8")
                assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
                time.sleep(0.5)
            yield process

    def _is_online(self, name: str, since: datetime) -> bool:
        found = self.servers.prefect("/work_pools/cpu/workers/filter", {})
        beats = [each["last_heartbeat_time"] for each in found if each["name"] == name]
        return any(datetime.fromisoformat(beat) > since for beat in beats)

    def finished(self, models: tuple[str, ...]) -> list[Any]:
        """Release models, and return their runs when all have ended."""
        runs = [self.servers.release(model) for model in models]
        return self.told(*map(self.servers.ended, runs))

    def told(self, *runs: Any) -> list[Any]:
        """Print how runs have ended; return them."""
        for run in runs:
            model, message = run["parameters"]["model"], run["state"]["message"]
            print(f"{model}: {run['state_name']}, {message}")  # noqa: T201 - for -s
        return [*runs]

    def numbers(self, model: str) -> list[int]:
        """Return the versions of a model, in order."""
        found = self.client.search_model_versions(f"name = '{model}'")
        return sorted(int(each.version) for each in found)

    def recover(self, *models: str) -> None:
        """End what processes of other machines have left, as ``reconcile`` does every hour.

        Nobody can tell that such a process is dead before its heartbeat has been missing.
        """
        time.sleep(heartbeat.DEAD_SECONDS)
        place = MlflowLocation(uri=self.servers.url("mlflow"), artifacts=None)
        registry = registry_at(place, self.folder / "here")
        for model in models:
            registry.recover(model)

    def require_order(self) -> None:
        """Check that there are no doubles, no aliases apart, and nothing left.

        What starts next in a home removes the temporary files of what has ended there.
        """
        found = registry_violations(self.client)
        experiments = self.client.search_experiments()
        found += [f"{each.name} is held" for each in experiments if "/lock " in each.name]
        for letter in ("b", "c", "d"):
            self.machines[letter].run(
                sys.executable, "-c", CLAIM, self.home(letter)
            ).check_returncode()
            found += home_violations(self.home(letter))
        assert found == []


def variables_of(folder: Path, servers: str) -> dict[str, str]:
    """Return the settings of a machine.

    Args:
        folder: Of the machine.
        servers: Address of the machine with the servers.
    """
    return environment(folder, AUTH) | {
        "SLIPWAY_PREFECT_URL": f"http://{servers}:4200",
        "SLIPWAY_MLFLOW_URL": f"http://{servers}:5000",
        "SLIPWAY_SPEED_ROUNDS": "1",
        "SLIPWAY_STEP_TIMEOUT_SECONDS": "1800",
    }


def settings_of_servers(folder: Path, host: Host, database: Cluster) -> dict[str, str]:
    """Return the settings of the machine with the servers, as the documents say."""
    own = {
        "SLIPWAY_PREFECT_LISTEN": "0.0.0.0:4200",
        "SLIPWAY_MLFLOW_LISTEN": "0.0.0.0:5000",
        "SLIPWAY_ARTIFACTS": f"s3://{s3_store.BUCKET}/artifacts",
        "MLFLOW_S3_ENDPOINT_URL": f"http://{S3_NETWORK}.1:{S3_PORT}",
    }
    return variables_of(folder, host.address) | database.settings | s3_store.KEYS | own


@contextmanager
def servers_on(host: Host, folder: Path, database: Cluster) -> Iterator[Running]:
    """Run both servers on a machine, and apply the deployments."""
    variables = settings_of_servers(folder, host, database)
    with ExitStack() as stack:
        for name, health in (("prefect", "/api/health"), ("mlflow", "/health")):
            service = (sys.executable, "-P", "-m", "deployments.services", name)
            log = folder / f"{name}.log"
            process = stack.enter_context(host.running(*service, variables=variables, log=log))
            url = variables[f"SLIPWAY_{name.upper()}_URL"]
            wait_until_answers(name, url + health, process.is_running)
        applied = host.run(sys.executable, "-m", "deployments.apply", variables=variables)
        assert applied.returncode == 0, applied.stdout + applied.stderr
        yield Running(folder / "home", variables, folder / "mlflow.log", Any)


@contextmanager
def s3_on(host: Host, folder: Path) -> Iterator[None]:
    """Run an S3 store with an empty bucket."""
    folder.mkdir()
    url, variables = f"http://{host.address}:{S3_PORT}", environment(folder, AUTH) | s3_store.KEYS
    server = s3_store.server(host.address, S3_PORT)
    with host.running(*server, variables=variables, log=folder / "s3.log") as process:
        while (made := host.run(*s3_store.create_bucket(url), variables=variables)).returncode:
            assert process.is_running(), made.stderr
        yield


def missing() -> str | None:
    """Return why there are no several machines here; None if there are."""
    return postgresql.missing() or hosts.missing() or s3_store.missing()


def lay_out_machine(folder: Path, checkpoint: Path, endpoint: str) -> None:
    """Put a catalogue of all models into the folder of a machine."""
    project: Project = lay_out(folder, checkpoint)
    shutil.rmtree(project.home)
    project.follow(f'repo = "{REPO}", endpoint = "{endpoint}"')
    text = project.catalogue.read_text(encoding="utf-8")
    entries = [text.replace("models.tiny", f"models.{model}") for model in MODELS]
    project.catalogue.write_text("\n".join(entries), encoding="utf-8")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Iterator[Scene]:
    """Build everything once."""
    if reason := missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("machines")
    hub = LocalHub(folder / "hub")
    hub.push(REPO, checkpoint)
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("MLFLOW_TRACKING_USERNAME", USER)
        patch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        network = stack.enter_context(hosts.network())
        served = stack.enter_context(hub.serve(network.address))
        machines = {letter: network.add(letter) for letter in ("a", "b", "c")}
        machines |= {"d": network.add("c"), "s": network.add("s", f"{S3_NETWORK}.1")}
        machines["a"].add_address(f"{S3_NETWORK}.2")
        for letter in ("a", "b", "c", "d"):
            lay_out_machine(folder / letter, checkpoint, served.endpoint)
        stack.enter_context(s3_on(machines["s"], folder / "s"))
        database = stack.enter_context(cluster("a", machines["a"].command))
        database.create()
        servers = stack.enter_context(servers_on(machines["a"], folder / "a", database))
        yield Scene(network, folder, machines, database, servers)


def test_twelve_models_are_released_side_by_side(scene: Scene) -> None:
    """On three machines, two of the same name; each has a part, and none has one twice."""
    with scene.workers("b", "c", "d", room_for=2):
        ended = scene.finished(MODELS)

    assert {each["state_name"] for each in ended} == {"Completed"}
    assert side_by_side(ended) > 2
    parts = [models_of(scene.home(letter)) for letter in ("b", "c", "d")]
    assert all(parts)
    assert sorted(model for part in parts for model in part) == [*MODELS]
    assert [scene.numbers(model) for model in MODELS] == [[1]] * len(MODELS)
    scene.require_order()


@pytest.mark.parametrize("killed", ["run", "worker", "machine"])
def test_what_is_killed_is_finished_by_the_next_release(scene: Scene, killed: str) -> None:
    """On another machine, whatever of the first one lived on until then."""
    scene.change()
    model = MODELS[0]
    before = scene.numbers(model)
    with scene.workers("b") as (worker,):
        run = scene.servers.release(model)
        scene.servers.wait_for_task(run, "log ")
        victims = {
            "run": worker.children(recursive=True),
            "worker": [worker],
            "machine": scene.machines["b"].processes(),
        }
        for process in victims[killed]:
            with suppress(psutil.NoSuchProcess):  # it ended with another one
                process.kill()
    with scene.workers("c"):
        (again,) = scene.finished((model,))
    (first,) = scene.told(scene.servers.ended(run))
    scene.recover(model)

    assert again["state_name"] in OUTCOMES
    assert first["state_name"] == "Crashed" or killed == "worker"
    assert len(scene.numbers(model)) == len(before) + 1
    scene.require_order()


def test_a_database_that_crashes_and_a_store_that_is_away_lose_nothing(scene: Scene) -> None:
    """What does not go on by itself says why, and is finished by the next release."""
    scene.change()
    models = MODELS[:4]
    before = {model: scene.numbers(model) for model in models}
    with scene.workers("b", "c"):
        runs = [scene.servers.release(model) for model in models]
        scene.servers.wait_for_task(runs[0], "log ")
        scene.database.restart()
        scene.servers.wait_for_task(runs[2], "log ")
        with scene.machines["s"].unreachable():
            time.sleep(AWAY_SECONDS)
        ended = scene.told(*map(scene.servers.ended, runs))
        failed = [each for each in ended if each["state_name"] not in OUTCOMES]
        again = scene.finished(tuple(each["parameters"]["model"] for each in failed))
    scene.recover(*models)

    assert all(each["state"]["message"] for each in failed)
    assert {each["state_name"] for each in again} <= OUTCOMES
    assert {len(scene.numbers(model)) - len(before[model]) for model in models} == {1}
    scene.require_order()


@pytest.mark.timeout(7200)
def test_the_same_release_at_once_from_two_workers_and_a_command_line(scene: Scene) -> None:
    """One of three makes it, in every round; the others wait for it, and say so.

    The command line starts sooner than a worker's run, so it lets that begin in every second round.
    """
    model, seen = MODELS[1], Counter[str]()
    with scene.workers("b", "c"):
        for number in range(ROUNDS):
            scene.change()
            before = scene.numbers(model)
            runs = [scene.servers.release(model) for _ in range(2)]
            if number % 2:
                scene.servers.wait_for_task(runs[0], "resolve ")
            printed = scene.command("d", "release", model, "--json")
            ended = scene.told(*map(scene.servers.ended, runs))

            assert printed.returncode == 0, printed.stderr
            made = [each["state_name"] == "Completed" for each in ended]
            made.append(not json.loads(printed.stdout)["existed"])
            assert {each["state_name"] for each in ended} <= OUTCOMES
            assert sum(made) == 1
            (new,) = set(scene.numbers(model)) - set(before)
            assert scene.client.get_model_version_by_alias(model, "champion").version == str(new)
            seen["command" if made[2] else "worker"] += 1
    print(f"made by: {dict(seen)}")  # noqa: T201 - for -s
    scene.require_order()


@pytest.mark.parametrize("letters", [("b", "c"), ("c", "d")], ids=["b-c", "same-name"])
def test_a_rollback_here_while_a_promotion_is_under_way_there(
    scene: Scene, letters: tuple[str, str]
) -> None:
    """Neither gives up, in every round: one waits for the other. The aliases agree."""
    url, folder = scene.servers.url("mlflow"), scene.folder / "-".join(letters)
    model = f"moved-{folder.name}"
    place = MlflowLocation(uri=url, artifacts=None)
    folder.mkdir()
    here = FakeRegistry(registry_at(place, folder / "here"), folder / "files", model)
    movers = tuple(
        Mover(url, folder / letter, scene.machines[letter].command, model) for letter in letters
    )
    assert len(movers) == 2
    for number in range(ROUNDS):
        here.release(f"before-{number}")
        here.release(f"failing-{number}")

        require_both_done(here, at_once(movers, f"promote next-{number}", "rollback"))
    for mover in movers:
        mover.end()
    for change in here.registry.pending_events(model):
        here.registry.mark_event_sent(model, change)
    scene.require_order()


def test_another_machine_takes_over_the_servers_of_a_lost_one(scene: Scene) -> None:
    """With a backup and the address of the lost one: status, history and serving are as before."""
    lost, backup = scene.machines["a"], scene.folder / "backup"
    if not scene.numbers(MODELS[1]):
        with scene.workers("b"):
            scene.finished((MODELS[1],))
    before = shown(scene)
    variables = settings_of_servers(scene.folder / "a", lost, scene.database)
    command = (sys.executable, "-m", "deployments.backup")
    saved = lost.run(*command, "save", backup, variables=variables)
    assert saved.returncode == 0, saved.stderr
    lost.lose()
    shutil.rmtree(scene.home("a"))

    other = scene.network.add("e", lost.address)
    other.add_address(f"{S3_NETWORK}.2")
    shutil.copytree(scene.folder / "a", scene.folder / "e")
    with cluster("e", other.command) as database:
        database.create()
        variables = settings_of_servers(scene.folder / "e", other, database)
        restored = other.run(*command, "restore", backup, variables=variables)
        assert restored.returncode == 0, restored.stderr
        with servers_on(other, scene.folder / "e", database):
            assert shown(scene) == before
            assert answer_of_server(scene, "c") != ""


def shown(scene: Scene) -> list[str]:
    """Return what commands on another machine show of all models and of the history of one."""
    commands = (("status", "--json"), ("history", MODELS[1], "--json"))
    done = [scene.command("c", *words) for words in commands]
    assert [each.returncode for each in done] == [0, 0], done
    return [each.stdout for each in done]


def answer_of_server(scene: Scene, letter: str) -> str:
    """Serve a champion on a machine, and return what it answers."""
    host, port = scene.machines[letter], 8077
    serve = (sys.executable, "-c", CALL, "serve", MODELS[1], "--port", port)
    log = scene.folder / letter / "serve.log"
    asked = f"""
import httpx
body = {{"model": "{MODELS[1]}", "prompt": "Count to ten.", "max_tokens": 4}}
print(httpx.post("http://127.0.0.1:{port}/v1/completions", json=body, timeout=60).text)
"""
    health = f"import httpx; httpx.get('http://127.0.0.1:{port}/ready').raise_for_status()"
    variables = scene.client_variables(letter)
    with host.running(*serve, variables=variables, log=log) as process:
        deadline = time.monotonic() + 180
        while host.run(sys.executable, "-c", health, variables=variables).returncode:
            assert process.is_running(), log.read_text(encoding="utf-8")
            assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
        found = json.loads(host.run(sys.executable, "-c", asked, variables=variables).stdout)
    return str(found["choices"][0]["text"])


def models_of(home: Path) -> list[str]:
    """Return the models that a home has released: it has held the lock of each."""
    locks = home.glob("locks/releasing-*.lock")
    return [each.stem.removeprefix("releasing-") for each in locks]


def side_by_side(runs: list[Any]) -> int:
    """Return how many runs there were at most at the same moment."""
    times = [(each["start_time"], each["end_time"]) for each in runs]
    return max(sum(start <= at < end for start, end in times) for at, _ in times)
