"""``slipway predict``: a running model server answers; without one, the version is loaded."""

from pathlib import Path

import pytest

from commands.main import run
from tests.support.model_servers import MADRID, MODEL, SPAIN, Registered, serving

Said = pytest.CaptureFixture[str]
TOO_LONG = "ship " * 900


@pytest.fixture(autouse=True)
def _here(registered: Registered, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command use this home: version 1 is the champion, version 2 the candidate."""
    monkeypatch.setenv("SLIPWAY_HOME", str(registered.home))
    monkeypatch.setenv("SLIPWAY_CATALOGUE", str(registered.home.parent / "catalogue.toml"))
    registered.promote(1)
    registered.promote(2, "candidate")


def loads(home: Path) -> int:
    """Return how often a version was loaded for a prompt."""
    return len(list((home / "logs").glob("predict-*.log")))


def test_a_server_that_serves_the_version_answers(registered: Registered, capsys: Said) -> None:
    """Nothing is loaded for the champion; another version is, and is not the server's answer."""
    folder = registered.home / "serving" / MODEL
    folder.mkdir(parents=True, exist_ok=True)
    before = loads(registered.home)
    with serving(registered.home, folder, 1):
        assert run(["predict", MODEL, SPAIN]) == 0
        assert capsys.readouterr().out == f"{MADRID}\n"
        assert run(["predict", MODEL, TOO_LONG]) == 2
        assert loads(registered.home) == before

        assert run(["predict", MODEL, SPAIN, "--candidate"]) == 0
        assert loads(registered.home) == before + 1

    refused, *others = capsys.readouterr().err.splitlines()
    assert refused.startswith(f"slipway: {MODEL} v1 cannot answer this prompt: ")
    assert "512" in refused
    assert not others


def test_a_prompt_beyond_the_context_is_one_line(registered: Registered, capsys: Said) -> None:
    """The same line as from a server, and no step is called crashed."""
    assert run(["predict", MODEL, TOO_LONG]) == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"slipway: {MODEL} v1 cannot answer this prompt: ")
    assert "maximum context length is 512 tokens" in line


def test_a_version_that_does_not_exist_is_not_asked(
    registered: Registered, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Said
) -> None:
    """Without a registry nothing is started or created."""
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path / "new"))

    assert run(["predict", MODEL, SPAIN, "--candidate"]) == 2

    said = capsys.readouterr().err
    assert said == f"slipway: a candidate of {MODEL} was not found: run `slipway release {MODEL}`\n"
    assert not (tmp_path / "new").exists()
    assert registered.home.is_dir()
