"""A champion goes from one MLflow server to another one, and into a file."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from commands.main import run
from flows.promote_release import promote_release
from slipway.libraries import MLFLOW_CLIENT
from slipway.settings import Settings
from slipway.tracking.verification import examine
from slipway.values import Release
from tests.support.crashes import Scene
from tests.support.faulty_proxy import losing_proxy
from tests.support.full_stack import mlflow_server
from tests.support.project import Project, laid_out, lay_out

Said = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def released_to_server(
    tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, prefect_backend: None
) -> Iterator[tuple[Project, str]]:
    """Release the signed tiny model into an MLflow server; promotions change nothing of it."""
    from flows.release_model import release_model

    folder = tmp_path_factory.mktemp("dev")
    (folder / "server").mkdir()
    with (
        mlflow_server(folder / "server") as url,
        pytest.MonkeyPatch.context() as patch,
        laid_out(folder / "project", checkpoint, patch) as project,
    ):
        patch.setenv("MLFLOW_TRACKING_URI", url)
        assert run(["keys", "init"]) == 0
        patch.setenv("SLIPWAY_VERIFY_KEY", str(Settings().own_signing_keys[1]))
        assert release_model("tiny").verdict.kind == "promoted"
        yield project, url


@pytest.fixture
def dev(released_to_server: tuple[Project, str], monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return the project of that release, whose settings name its server."""
    project, url = released_to_server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    return project


@pytest.fixture
def prod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run a server with nothing in it, and name it in the settings."""
    with mlflow_server(tmp_path) as url:
        require(monkeypatch, url)
        yield url


def require(patch: pytest.MonkeyPatch, url: str, **required: Any) -> None:
    """Name a server in the settings, with what it requires."""
    environments = {"prod": {"tracking_uri": url, **required}}
    patch.setenv("SLIPWAY_ENVIRONMENTS", json.dumps(environments))


def registry(project: Project, url: str, patch: pytest.MonkeyPatch) -> Any:
    """Return the registry of a server."""
    patch.setenv("MLFLOW_TRACKING_URI", url)
    return project.registry()


def test_a_champion_is_promoted_once_and_both_histories_say_so(
    dev: Project, prod: str, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    """Tested and verified there; a second time nothing is done; the sides then go their own way."""
    here = os.environ["MLFLOW_TRACKING_URI"]

    assert run(["promote", "tiny", "--to", "prod", "--reason", "it is good", "--json"]) == 0

    first = Release.model_validate_json(capsys.readouterr().out)
    assert os.environ["MLFLOW_TRACKING_URI"] == here
    assert not first.existed
    assert first.promotion
    assert first.promotion.aliases == ("candidate", "champion")
    (period,) = project_history(capsys)
    assert period["elsewhere"] == ["to prod v1"]

    assert run(["promote", "tiny", "--to", "prod"]) == 0
    assert "tiny in prod: there already" in capsys.readouterr().out

    there = registry(dev, prod, monkeypatch)
    assert all(examine(request).fault is None for request in there.copies_of("tiny", 1))
    assert len(there.client.search_model_versions("")) == 2
    (period,) = project_history(capsys)
    assert period["elsewhere"] == ["from dev v1"]
    assert "promoted from dev v1; it is good; all " in period["audit"]["reason"]
    files = {each.path for each in there.client.list_artifacts(first.versions.run_id)}
    assert {"report.md", "figures.json", "gates.json", "manifest.json"} <= files
    there.client.delete_registered_model_alias("tiny", "champion")

    assert registry(dev, here, monkeypatch).champion("tiny") == 1


def project_history(capsys: Said) -> Any:
    """Return what ``slipway history`` prints of the server in use."""
    capsys.readouterr()
    assert run(["history", "tiny", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_what_an_environment_requires_is_checked_first(
    dev: Project, prod: str, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    """Hours as champion here; and a person's approval there."""
    here = os.environ["MLFLOW_TRACKING_URI"]
    require(monkeypatch, prod, served_hours=24)
    assert run(["promote", "tiny", "--to", "prod"]) == 2
    assert "has been champion for 0.0 hours, and 24 are required" in capsys.readouterr().err
    assert run(["promote", "tiny", "--to", "staging"]) == 2
    assert "environment 'staging' was not found" in capsys.readouterr().err
    assert run(["promote", "tiny", "--to", "prod", "--force"]) == 2
    assert "promoting an older source needs a reason" in capsys.readouterr().err

    require(monkeypatch, prod, approval=True)
    waiting = promote_release("tiny", "prod")

    assert waiting.waiting
    there = registry(dev, prod, monkeypatch)
    assert there.aliases("tiny") == {"candidate": 1}
    assert run(["approve", "tiny", "--reason", "it is good"]) == 0
    assert there.champion("tiny") == 1
    monkeypatch.setenv("MLFLOW_TRACKING_URI", here)
    assert promote_release("tiny", "prod").existed


def test_a_release_that_fails_its_tests_there_is_withdrawn(
    dev: Project, prod: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine may differ: here it is a limit."""
    before = dev.catalogue.read_text(encoding="utf-8")
    dev.limit("tokens_per_second = { min = 1e9 }")
    try:
        rejected = promote_release("tiny", "prod")
    finally:
        dev.catalogue.write_text(before, encoding="utf-8")

    assert rejected.verdict.kind == "rejected"
    there = registry(dev, prod, monkeypatch)
    assert list(there.client.search_model_versions("")) == []


def test_a_bundle_is_released_where_there_is_no_network(
    dev: Project, prod: str, monkeypatch: pytest.MonkeyPatch, capsys: Said, tmp_path: Path
) -> None:
    """Verified, tested and promoted; a second time nothing is done; one bit too many is refused."""
    file = tmp_path / "tiny.bundle"
    assert run(["bundle", "tiny", "--output", str(file)]) == 0
    there = registry(dev, prod, monkeypatch)
    content = file.read_bytes()
    middle = len(content) // 2
    file.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])

    assert run(["unbundle", str(file)]) == 2
    assert "it is not as it was made" in capsys.readouterr().err
    assert list(there.client.search_model_versions("")) == []
    file.write_bytes(content)
    assert run(["unbundle", str(file), "--reason", "by hand"]) == 0

    assert "tiny in dev: promoted" in capsys.readouterr().out
    assert there.aliases("tiny") == {"candidate": 1, "champion": 1}
    assert there.pending_events("tiny") == ()
    assert all(examine(request).signature == "valid" for request in there.copies_of("tiny", 1))
    assert run(["unbundle", str(file)]) == 0
    assert "there already" in capsys.readouterr().out


@pytest.mark.slow
def test_lost_replies_promote_nothing_twice(
    dev: Project, prod: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three answers to every request that changes something get lost on their way."""
    for name in ("FACTOR", "JITTER"):
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_BACKOFF_{name}", "0")
    with losing_proxy(prod, 3) as (address, lost):
        require(monkeypatch, address)

        assert promote_release("tiny", "prod").promotion

    assert {"runs/create", "logged-models", "model-versions/create"} <= {
        path.partition("/mlflow/")[2] for path in lost
    }
    there = registry(dev, prod, monkeypatch)
    assert len(there.client.search_model_versions("")) == 2
    experiments = [each.experiment_id for each in there.client.search_experiments()]
    assert len(there.client.search_logged_models(experiments)) == 2
    assert there.client.search_runs(experiments, "attributes.status = 'RUNNING'") == []
    assert there.aliases("tiny") == there.aliases("tiny-transformers")


@pytest.mark.slow
def test_a_server_that_asks_for_a_password_gets_it_from_a_file(
    dev: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    """Without the file, the line says which one is missing; nothing arrives there."""
    with mlflow_server(tmp_path, auth="ann:correct horse battery") as url:
        require(monkeypatch, url)
        assert run(["promote", "tiny", "--to", "prod"]) == 2
        assert "secrets/prod.auth" in capsys.readouterr().err
        file = Settings().home / "secrets" / "prod.auth"
        file.write_text("ann:correct horse battery\n", encoding="utf-8")

        assert run(["promote", "tiny", "--to", "prod"]) == 0

    assert "tiny in prod: promoted" in capsys.readouterr().out
    file.unlink()


@pytest.mark.slow
def test_a_bundle_is_released_behind_no_route(dev: Project, tmp_path: Path) -> None:
    """In a network namespace that has its own loopback and nothing else."""
    if not (shutil.which("unshare") and shutil.which("ip")) or os.geteuid() != 0:
        pytest.skip("a network namespace needs root, and unshare and ip (util-linux, iproute2)")
    file = tmp_path / "tiny.bundle"
    assert run(["bundle", "tiny", "--output", str(file)]) == 0
    key = str(Settings().own_signing_keys[1])
    scene = Scene.of(lay_out(tmp_path / "away", dev.checkpoint).folder, "").without_prefect()
    scene = replace(scene, variables=scene.variables | {"SLIPWAY_VERIFY_KEY": key})
    alone = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]

    assert scene.run(["unbundle", str(file)], before=alone) == 0, scene.said()

    assert "tiny in dev: promoted" in scene.said()
    assert scene.run(["status", "tiny"], before=alone) == 0


def test_a_password_goes_to_its_environment_alone(
    dev: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in a file of this home; afterwards everything is as before."""
    from tasks.context import in_environment

    require(monkeypatch, "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "of this server")
    before = {name: os.environ.get(name) for name in MLFLOW_CLIENT}
    file = Settings().home / "secrets" / "prod.auth"
    file.write_text("ann:correct horse battery\n", encoding="utf-8")

    with in_environment("prod"):
        assert {name: os.environ.get(name) for name in MLFLOW_CLIENT} == {
            "MLFLOW_TRACKING_URI": "http://127.0.0.1:1",
            "MLFLOW_TRACKING_USERNAME": "ann",
            "MLFLOW_TRACKING_PASSWORD": "correct horse battery",
            "MLFLOW_TRACKING_TOKEN": None,
            "MLFLOW_REGISTRY_URI": None,
        }

    assert {name: os.environ.get(name) for name in MLFLOW_CLIENT} == before
