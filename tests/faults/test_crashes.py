"""Killed at every failpoint and at random times, a command leaves nothing that its next run keeps.

Every case runs the real command line in a home of its own. ``-s`` prints what each kill left. That
takes hours. Without ``CRASHES=all`` a release, a redeploy and a server are killed once each.
"""

import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from slipway.redeploy import model_server
from slipway.tracking.tags import QUARANTINED
from tests.support.crashes import ALL, PLACES, Outcome, Scene, failpoints, made, timed
from tests.support.hub import LocalHub
from tests.support.invariants import violations
from tests.support.network import free_port
from tests.support.project import lay_out
from tests.support.tiny_phi3 import write_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RANDOM_KILLS, SECOND_KILLS, SEED = 50, 20, 15
RELEASE, REDEPLOY = ["release", "tiny"], ["redeploy", "tiny"]
REPO = "slipway/tiny-phi3"


only_in_faults = pytest.mark.skipif(not ALL, reason="`make faults` runs it: a minute a kill")


@dataclass(frozen=True)
class Homes:
    """Homes that are copied for each case, and the servers that all of them share.

    Attributes:
        one: With one release; another one is built.
        both: With both releases.
        hub: Address of a Hub with the tiny model.
        prefect: Address of a Prefect server.
        checkpoint: The tiny model.
    """

    one: Scene
    both: Scene
    hub: str
    prefect: str
    checkpoint: Path

    def cold(self, folder: Path) -> Scene:
        """Return a home in which nothing is downloaded yet."""
        project = lay_out(folder, self.checkpoint)
        project.follow(f'repo = "{REPO}", endpoint = "{self.hub}"')
        return Scene.of(folder, self.prefect)

    def failing(self, folder: Path) -> Scene:
        """Return a home whose next release fails a gate."""
        scene = self.one.copied_to(folder)
        scene.project.limit("tokens_per_second = { min = 1e9 }")
        return scene


@pytest.fixture(scope="module")
def homes(
    tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, prefect_backend: None
) -> Iterator[Homes]:
    """Make the homes once."""
    from prefect.settings import PREFECT_API_URL

    prefect = str(PREFECT_API_URL.value())
    folder = tmp_path_factory.mktemp("crashes")
    other = write_checkpoint(folder / "other", seed=1)
    one, both = made(folder, (checkpoint, other), prefect)
    hub = LocalHub(folder / "hub")
    hub.push(REPO, checkpoint)
    with hub.serve() as running:
        yield Homes(one, both, running.endpoint, prefect, checkpoint)


@pytest.fixture(scope="module")
def outcomes() -> Iterator[list[Outcome]]:
    """Collect the rows of the table, and print it."""
    rows: list[Outcome] = []
    yield rows
    print("\n" + "\n".join(map(str, rows)))  # noqa: T201 - figures for whoever runs this with -s


def killed(scene: Scene, command: list[str], point: str) -> int:
    """Kill a command or its child at a failpoint; return the number of things in disorder."""
    scene.run(command, point)
    assert scene.was_killed_at(point), scene.said()[-3000:]
    return len(violations(scene.home, scene.client()))


def killed_after(scene: Scene, seconds: float) -> None:
    """Kill a release at some time, if it has not ended by then."""
    command = scene.start(RELEASE)
    with suppress(subprocess.TimeoutExpired):
        command.wait(seconds)
    command.kill()
    command.wait()


def points(place: str) -> list[str]:
    """Return the failpoints that are met at a place, or one of them."""
    names = [name for name in failpoints() if PLACES[name.partition(".")[0]] == place]
    return names if ALL else names[:1]


@pytest.mark.parametrize("point", (points("cold") if ALL else []) + points("warm"))
def test_a_release_that_was_killed_is_finished_by_the_next(
    homes: Homes, tmp_path: Path, outcomes: list[Outcome], point: str
) -> None:
    """It is champion afterwards, once, and nothing else of the killed one is left."""
    is_cold = point in points("cold")
    scene = homes.cold(tmp_path / "cold") if is_cold else homes.one.copied_to(tmp_path / "warm")

    left = killed(scene, RELEASE, point)
    seconds = timed(scene, RELEASE)

    outcomes.append(Outcome(point, left, seconds))
    assert violations(scene.home, scene.client()) == []
    assert is_cold or champion(scene) > 1


@only_in_faults
@pytest.mark.parametrize("point", points("failing"))
def test_a_rejected_release_that_was_killed_is_withdrawn_by_the_next(
    homes: Homes, tmp_path: Path, outcomes: list[Outcome], point: str
) -> None:
    """No version of it stays, and the champion is the one before."""
    scene = homes.failing(tmp_path / "failing")

    left = killed(scene, RELEASE, point)
    seconds = timed(scene, RELEASE, status=3)

    outcomes.append(Outcome(point, left, seconds))
    assert violations(scene.home, scene.client()) == []
    assert champion(scene) == 1
    assert len(scene.client().search_model_versions("name = 'tiny'")) == 1


@only_in_faults
@pytest.mark.parametrize("point", points("recovering"))
def test_a_recovery_that_was_killed_is_finished_by_the_next(
    homes: Homes, tmp_path: Path, outcomes: list[Outcome], point: str
) -> None:
    """The second kill is that of the run which rolls back what the first one left."""
    scene = homes.one.copied_to(tmp_path / "warm")

    killed(scene, RELEASE, "alias.after-aliases")
    left = killed(scene, RELEASE, point)
    seconds = timed(scene, RELEASE)

    outcomes.append(Outcome(point, left, seconds))
    assert violations(scene.home, scene.client()) == []
    assert champion(scene) > 1


@only_in_faults
@pytest.mark.parametrize("point", [each for each in points("warm") if each.startswith("alias.")])
def test_a_rollback_that_was_killed_is_finished_by_the_next(
    homes: Homes, tmp_path: Path, outcomes: list[Outcome], point: str
) -> None:
    """Version 1 is champion again, and version 2 is quarantined once."""
    scene = homes.both.copied_to(tmp_path / "both")
    command = ["rollback", "tiny", "--failed", "2", "--reason", "it answers in verse"]

    left = killed(scene, command, point)
    seconds = timed(scene, command)

    outcomes.append(Outcome(f"rollback {point}", left, seconds))
    assert violations(scene.home, scene.client()) == []
    assert champion(scene) == 1


@pytest.fixture(scope="module")
def served(
    homes: Homes, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Scene, subprocess.Popen[bytes]]]:
    """Serve version 2 of both in a home of its own."""
    scene = homes.both.copied_to(tmp_path_factory.mktemp("served") / "both")
    scene.project.edit("licenses =", "watch = { error_rate = 0.5 }\nlicenses =")
    server = serve(scene)
    yield scene, server
    server.terminate()
    server.wait(60)


@pytest.mark.parametrize("point", points("served"))
def test_a_redeploy_that_was_killed_is_finished_by_the_next(
    served: tuple[Scene, subprocess.Popen[bytes]], outcomes: list[Outcome], point: str
) -> None:
    """The server answers with the champion; the server of the preflight is gone."""
    scene, server = served
    rejects = point in {"redeploy.before-reject", "redeploy.after-reject"}
    other = 3 - champion(scene)
    for name in ("tiny", "tiny-transformers"):
        scene.client().set_registered_model_alias(name, "champion", str(other))
    with damaged(scene, other) if rejects else nullcontext():
        scene.run(REDEPLOY, point)
        assert scene.was_killed_at(point), scene.said()[-3000:]
        left = len(violations(scene.home, scene.client(), {server.pid}))
        status = 3 if point == "redeploy.before-reject" else 0
        seconds = timed(scene, REDEPLOY, status=status)

    outcomes.append(Outcome(point, left, seconds))
    assert violations(scene.home, scene.client(), {server.pid}) == []
    answered = model_server.serving(scene.home / "serving" / "tiny")
    assert answered is not None
    assert answered.version == champion(scene)
    for name in ("tiny", "tiny-transformers"):  # the next case may have it again
        scene.client().delete_model_version_tag(name, str(other), QUARANTINED)


@pytest.mark.parametrize("point", points("serving"))
def test_a_server_that_was_killed_is_started_again(
    homes: Homes, tmp_path: Path, outcomes: list[Outcome], point: str
) -> None:
    """The next one finds neither a file nor a process of it in its way."""
    scene = homes.both.copied_to(tmp_path / "both")
    port = str(free_port())

    left = killed(scene, ["serve", "tiny", "--workers", "1", "--port", port], point)
    started = time.monotonic()
    server = serve(scene, port)
    outcomes.append(Outcome(point, left, time.monotonic() - started))

    assert violations(scene.home, scene.client(), {server.pid}) == []
    server.terminate()
    server.wait(60)
    assert violations(scene.home, scene.client()) == []


@pytest.fixture(scope="module")
def release_seconds(homes: Homes, tmp_path_factory: pytest.TempPathFactory) -> float:
    """Return how long a release takes that nobody kills."""
    return timed(homes.one.copied_to(tmp_path_factory.mktemp("timed") / "warm"), RELEASE)


@only_in_faults
@pytest.mark.parametrize("number", range(RANDOM_KILLS) if ALL else [0])
def test_a_release_that_was_killed_at_any_time_is_finished_by_the_next(
    homes: Homes, tmp_path: Path, outcomes: list[Outcome], release_seconds: float, number: int
) -> None:
    """So is one whose next run was killed too.

    The moments are the same in every run of these tests, as shares of a whole release.
    """
    scene = homes.one.copied_to(tmp_path / "warm")
    moments = random.Random(SEED + number)  # noqa: S311 - no secret
    shares = [moments.random() for _ in range(2 if number < SECOND_KILLS else 1)]

    for share in shares:
        killed_after(scene, share * release_seconds)
    left = len(violations(scene.home, scene.client()))
    seconds = timed(scene, RELEASE)

    at = " and ".join(f"{share:.0%}" for share in shares)
    outcomes.append(Outcome(f"at {at} (seed {SEED + number})", left, seconds))
    assert violations(scene.home, scene.client()) == []
    assert champion(scene) > 1


@only_in_faults
def test_a_prefect_server_that_a_killed_release_started_is_ended(
    homes: Homes, tmp_path: Path
) -> None:
    """It would lock the database of the next one out."""
    scene = homes.one.copied_to(tmp_path / "warm").without_prefect()

    killed(scene, RELEASE, "register.before-model")
    assert any("prefect" in each for each in violations(scene.home, scene.client()))
    timed(scene, RELEASE)

    assert violations(scene.home, scene.client()) == []


def champion(scene: Scene) -> int:
    """Return the champion of the model that serves; its pair may have another number."""
    return int(scene.client().get_model_version_by_alias("tiny", "champion").version)


def serve(scene: Scene, port: str = "0") -> subprocess.Popen[bytes]:
    """Run ``slipway serve`` until its server listens."""
    process = scene.start(["serve", "tiny", "--workers", "1", "--port", port])
    deadline = time.monotonic() + 180
    while not model_server.find(scene.home / "serving" / "tiny"):
        assert process.poll() is None, scene.said()
        assert time.monotonic() < deadline, scene.said()
        time.sleep(0.2)
    return process


@contextmanager
def damaged(scene: Scene, version: int) -> Iterator[None]:
    """Change a file of a version while the body runs, and remove its private copy."""
    client = scene.client()
    model = client.get_model_version("tiny", str(version)).source.removeprefix("models:/")
    file = Path(client.get_logged_model(model).artifact_location) / "artifacts/model/model.onnx"
    content = file.read_bytes()
    for copy in scene.home.glob(f"copies/tiny/{version}-*/"):
        shutil.rmtree(copy)
    file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    yield
    file.write_bytes(content)
