"""Killed at every failpoint, a promotion leaves two valid registries, and its next run finishes it.

Every case promotes to an MLflow server of its own. ``CRASHES=all`` kills at all failpoints, which
takes a quarter of an hour; else one of them is enough.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from slipway.tracking.tags import KEY, PROMOTED_FROM, PROMOTED_TO
from tests.support.crashes import ALL, PLACES, Scene, failpoints
from tests.support.full_stack import mlflow_server
from tests.support.invariants import violations
from tests.support.project import lay_out

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


@pytest.mark.parametrize("point", POINTS if ALL else ["alias.after-alias"])
def test_a_promotion_that_was_killed_is_finished_by_the_next(
    dev: Scene, tmp_path: Path, point: str
) -> None:
    """Once, and with one version of each wrapper there; nothing is changed here but the history."""
    from mlflow import MlflowClient

    with mlflow_server(tmp_path) as url:
        environments = json.dumps({"prod": {"tracking_uri": url}})
        scene = replace(dev, variables={**dev.variables, "SLIPWAY_ENVIRONMENTS": environments})
        there = MlflowClient(url, url)

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
