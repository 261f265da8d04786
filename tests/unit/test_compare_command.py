"""``slipway compare`` shows what a new version brings, and what it costs."""

import json
from pathlib import Path
from typing import Any

import pytest

from commands.main import run
from slipway.tracking.location import connect
from tests.support.published_runs import CATALOGUE, manifest, place, published, register
from tests.support.summaries import ANSWERS, NAME, asked, promoted, summary

Said = pytest.CaptureFixture[str]
BUILT_ANEW = manifest(tools={"transformers": "5.22.2"}, artifact={"model.onnx": "13" * 32})


def settle(home: Path, patch: pytest.MonkeyPatch) -> None:
    """Point the settings to ``home``, with a catalogue of one model."""
    home.mkdir(exist_ok=True)
    (home / "catalogue.toml").write_text(CATALOGUE, encoding="utf-8")
    patch.setenv("SLIPWAY_HOME", str(home))
    patch.setenv("SLIPWAY_CATALOGUE", str(home / "catalogue.toml"))
    patch.setenv("COLUMNS", "120")
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def fake_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home whose model has three versions, of which the second serves."""
    home = tmp_path_factory.mktemp("home")
    where = place(home)
    faster = asked("onnx", ANSWERS | {"emoji": "A ship 🚢."}, tokens_per_second=40.0)
    releases = (promoted(), summary(faster, artifact_bytes=120_000_000), promoted())
    manifests = (manifest(), BUILT_ANEW, manifest())
    for release, made_of in zip(releases, manifests, strict=True):
        register(where, published(where, release, made_of).versions.run_id)
    connect(where).set_registered_model_alias(NAME, "champion", "2")
    return home


@pytest.fixture
def home(fake_registry: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point the settings to that home."""
    settle(fake_registry, monkeypatch)
    return fake_registry


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home whose model has one version, and none that serves."""
    home = tmp_path_factory.mktemp("waiting")
    where = place(home)
    register(where, published(where, promoted(), manifest()).versions.run_id)
    return home


@pytest.fixture
def single(waiting: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point the settings to that home."""
    settle(waiting, monkeypatch)
    return waiting


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point the settings to a home where nothing was released."""
    settle(tmp_path, monkeypatch)
    return tmp_path


def parsed(capsys: Said) -> Any:
    """Return what was printed, as the JSON document that it must be."""
    return json.loads(capsys.readouterr().out)


def test_the_champion_is_compared_with_the_version_before_it(home: Path, capsys: Said) -> None:
    """Figures, what changed and the answers that differ, on one screen."""
    assert run(["compare", NAME]) == 0

    said = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert "version 1 version 2, champion change" in lines
    assert "size_bytes 137 MB 120 MB -12.4%, better" in lines
    assert "tokens_per_second 31.4 tokens/s 40 tokens/s +27.4%, better" in lines
    assert "gates 13 of 13 passed 13 of 13 passed" in lines
    assert "tools: transformers 5.22.1 5.22.2" in lines
    assert any(line.startswith("emoji A ship") and line.endswith("🚢.") for line in lines)
    assert len(lines) < 50


def test_two_versions_can_be_named(home: Path, capsys: Said) -> None:
    """As JSON it is one document, with everything."""
    assert run(["compare", NAME, "2", "3", "--json"]) == 0

    found = parsed(capsys)
    assert (found["before"]["name"], found["after"]["name"]) == (
        "version 2, champion",
        "version 3",
    )
    assert [each["prompt_id"] for each in found["differing"]] == ["emoji"]
    assert {each["what"] for each in found["changes"]} == {
        "tools: transformers",
        "artifact: model.onnx",
    }


def test_one_version_is_compared_with_the_champion(home: Path, capsys: Said) -> None:
    """That is what somebody who names one wants to know."""
    assert run(["compare", NAME, "1", "--json"]) == 0

    assert parsed(capsys)["after"]["name"] == "version 2, champion"


def test_a_version_that_is_not_there_is_one_line(home: Path, capsys: Said) -> None:
    """It names those that are."""
    assert run(["compare", NAME, "1", "9"]) == 2

    assert capsys.readouterr().err == (
        f"slipway: version 9 of {NAME} was not found: there are these versions: 1, 2, 3\n"
    )


def test_without_two_versions_the_candidates_are_shown(single: Path, capsys: Said) -> None:
    """A candidate that failed is no version, but its figures are shown."""
    assert run(["compare", NAME]) == 0
    said = capsys.readouterr().out
    assert run(["compare", NAME, "--json"]) == 0
    found = parsed(capsys)

    assert "int8-rtn selected 137 MB 0.0041 (0.0036 to 0.0047) 97.1 % 1.004" in " ".join(
        said.split()
    )
    assert "int4-k_quant not built — — —" in " ".join(said.split())
    assert "kl_mean is 0.57 (0.531 to 0.612), must be at most 0.15" in " ".join(said.split())
    assert "not built" in said
    assert len(found["run_id"]) == 32
    assert [each["verdict"] for each in found["candidates"]][2] == "selected"


def test_one_version_without_a_champion_needs_a_second(single: Path, capsys: Said) -> None:
    """Nothing serves that it could be compared with."""
    assert run(["compare", NAME, "1"]) == 2

    assert "name two versions to compare" in capsys.readouterr().err


def test_before_any_release_it_says_how_to_make_one(empty: Path, capsys: Said) -> None:
    """Asking writes nothing."""
    assert run(["compare", NAME]) == 2

    assert f"slipway release {NAME}" in capsys.readouterr().err
    assert [path.name for path in empty.iterdir()] == ["catalogue.toml"]
