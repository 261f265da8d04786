"""Killed at every failpoint, a promotion leaves two valid registries, and its next run finishes it.

Every case promotes to an MLflow server of its own. ``CRASHES=all`` kills at all failpoints, which
takes a quarter of an hour; else one of them is enough. Where PostgreSQL and an S3 store can be run,
``make test-machines`` kills as often against a server that keeps its state there.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from slipway.tracking.tags import KEY, PROMOTED_FROM, PROMOTED_TO
from tests.support import postgresql, s3_store
from tests.support.crashes import ALL, PLACES, Scene, failpoints
from tests.support.full_stack import mlflow_server
from tests.support.invariants import violations
from tests.support.postgresql import Cluster
from tests.support.project import lay_out
from tests.support.tiny_phi3 import write_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PROMOTE = ["promote", "tiny", "--to", "prod"]
#: Of steps that a release has as well; here, they change the registry of the other environment.
SHARED = [
    "register.after-version",
    "alias.after-alias",
    "promote.after-tags",
    "alias.before-finish",
]
POINTS = [name for name in failpoints() if PLACES[name.partition(".")[0]] == "promoting"] + SHARED


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, prefect_backend: None) -> Scene:
    """Return a home with one release."""
    from prefect.settings import PREFECT_API_URL

    project = lay_out(tmp_path_factory.mktemp("dev") / "home", checkpoint)
    scene = Scene.of(project.folder, str(PREFECT_API_URL.value()))
    assert scene.run(["release", "tiny"]) == 0, scene.said()
    return scene


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Run PostgreSQL and an S3 store, which every server that is started then reaches."""
    if reason := postgresql.missing() or s3_store.missing():
        pytest.skip(reason)
    with ExitStack() as stack:
        cluster = stack.enter_context(postgresql.cluster("promotions"))
        cluster.create()
        store = stack.enter_context(s3_store.s3_store(tmp_path_factory.mktemp("s3")))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in store.items():
            patch.setenv(name, value)
        yield cluster


@contextmanager
def server_on(stores: Cluster, name: str, folder: Path) -> Iterator[str]:
    """Run an MLflow server with a database and a part of the bucket of its own."""
    stores.run("createdb", "--owner=mlflow", name)
    database = stores.mlflow_address(name)
    with mlflow_server(folder, database, f"s3://{s3_store.BUCKET}/{name}") as url:
        yield url


@pytest.mark.parametrize("point", POINTS if ALL else ["alias.after-alias"])
def test_a_promotion_that_was_killed_is_finished_by_the_next(
    dev: Scene, tmp_path: Path, point: str
) -> None:
    """Once, and with one version of each wrapper there; nothing is changed here but the history."""
    with mlflow_server(tmp_path) as url:
        require_finished(dev, url, point)


@pytest.mark.machines
@pytest.mark.parametrize("point", POINTS)
def test_the_same_holds_for_a_registry_on_postgresql_and_s3(
    dev: Scene, stores: Cluster, tmp_path: Path, point: str
) -> None:
    """Its artifacts go through its server, which alone reaches the store."""
    with server_on(stores, point, tmp_path) as url:
        require_finished(dev, url, point)


@pytest.mark.machines
def test_a_rollback_on_postgresql_and_s3_leaves_the_other_registry_as_it_is(
    dev: Scene, stores: Cluster, tmp_path: Path
) -> None:
    """Two releases were promoted; there, the first one serves again."""
    scene = dev.copied_to(tmp_path / "dev")
    with server_on(stores, "rollback", tmp_path) as url:
        scene = promoting_to(scene, url)
        assert scene.run(PROMOTE) == 0, scene.said()[-3000:]
        shutil.rmtree(scene.project.checkpoint)
        write_checkpoint(scene.project.checkpoint, seed=1)
        assert scene.run(["release", "tiny"]) == 0, scene.said()[-3000:]
        assert scene.run(PROMOTE) == 0, scene.said()[-3000:]
        there, here = MlflowClient(url, url), scene.client()
        assert champions(there) == champions(here) == {"tiny": 2, "tiny-transformers": 2}

        on_that_side = replace(scene, variables={**scene.variables, "MLFLOW_TRACKING_URI": url})
        assert on_that_side.run(["rollback", "tiny", "--reason", "a trial"]) == 0, scene.said()

        assert champions(there) == {"tiny": 1, "tiny-transformers": 1}
        assert champions(here) == {"tiny": 2, "tiny-transformers": 2}
        assert violations(scene.home, here) == []
        assert violations(scene.home, there) == []


def promoting_to(scene: Scene, url: str) -> Scene:
    """Return a scene whose environment ``prod`` is the server at ``url``."""
    environments = json.dumps({"prod": {"tracking_uri": url}})
    return replace(scene, variables={**scene.variables, "SLIPWAY_ENVIRONMENTS": environments})


def champions(client: MlflowClient) -> dict[str, int]:
    """Return the champions of a registry."""
    found = client.search_registered_models()
    return {each.name: int(each.aliases["champion"]) for each in found}


def require_finished(dev: Scene, url: str, point: str) -> None:
    """Kill a promotion to the server at ``url``; its next run finishes it."""
    scene, there = promoting_to(dev, url), MlflowClient(url, url)
    for name in ("tiny", "tiny-transformers"):  # as if it had never been promoted
        scene.client().delete_model_version_tag(name, "1", f"{PROMOTED_TO}.prod")

    scene.run(PROMOTE, point)
    assert scene.was_killed_at(point), scene.said()[-3000:]
    for model in there.search_registered_models():
        for number in model.aliases.values():
            assert there.get_model_version(model.name, number).tags[KEY]
    left = violations(scene.home, scene.client())
    assert [each for each in left if not each.startswith("tmp/")] == []
    assert scene.run(PROMOTE) == 0, scene.said()[-3000:]

    left = violations(scene.home, there)
    assert [each for each in left if not each.startswith("the event of")] == []
    assert violations(scene.home, scene.client()) == []
    (serving,) = there.search_model_versions("name = 'tiny'")
    for name in ("tiny", "tiny-transformers"):
        (here,) = scene.client().search_model_versions(f"name = '{name}'")
        (version,) = there.search_model_versions(f"name = '{name}'")
        assert here.tags[f"{PROMOTED_TO}.prod"] == f"v{serving.version}"
        assert version.tags[PROMOTED_FROM] == "dev v1"
        assert version.tags[KEY] == here.tags[KEY]
        assert there.get_registered_model(name).aliases["champion"] == version.version
