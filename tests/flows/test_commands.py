"""The command line after a release: text for people, JSON for scripts."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from commands.main import run
from slipway.values import Release
from tests.support.project import PROJECT, Project

Said = pytest.CaptureFixture[str]


def parsed(capsys: Said) -> Any:
    """Return what was printed, as the JSON document that it must be."""
    return json.loads(capsys.readouterr().out)


def test_release_says_that_it_already_exists(
    released: tuple[Project, Release], capsys: Said
) -> None:
    """The summary names both versions, the verdict and a prompt to try; the exit code is 0."""
    assert run(["release", "tiny"]) == 0

    said = capsys.readouterr().out
    assert "tiny: already released in" in said
    assert "models:/tiny/1  (prompt" in said
    assert 'slipway predict tiny "What is the capital of Spain?"' in said


def test_release_as_json_is_one_document(released: tuple[Project, Release], capsys: Said) -> None:
    """Nothing else is on standard output."""
    assert run(["release", "tiny", "--json"]) == 0

    assert parsed(capsys)["existed"] is True


def test_status_shows_commit_versions_and_champion(
    released: tuple[Project, Release], capsys: Said
) -> None:
    """One object a model."""
    assert run(["status", "tiny", "--json"]) == 0

    _, outcome = released
    assert parsed(capsys) == [
        {
            "model": "tiny",
            "commit": outcome.commit,
            "variant": "cpu-fp32",
            "champion": 1,
            "reference": 1,
            "previous": None,
            "candidate": 1,
        }
    ]


def test_compare_shows_the_candidates_of_the_only_release(
    released: tuple[Project, Release], capsys: Said
) -> None:
    """There is no second version yet, so the selected candidate is shown with its figures."""
    assert run(["compare", "tiny", "--json"]) == 0

    _, outcome = released
    found = parsed(capsys)
    assert found["run_id"] == outcome.versions.run_id
    assert [each["verdict"] for each in found["candidates"]] == ["selected"]
    assert found["candidates"][0]["figures"]["size_bytes"]["value"] > 0


def test_predict_asks_the_champion(released: tuple[Project, Release], capsys: Said) -> None:
    """As its users would."""
    assert run(["predict", "tiny", "What is the capital of Spain?"]) == 0

    assert capsys.readouterr().out.strip() == "The capital of Spain is Madrid."


def test_a_plan_knows_what_is_there(released: tuple[Project, Release], capsys: Said) -> None:
    """The plan says that the release exists and that its files are in the store."""
    assert run(["plan", "tiny", "--json"]) == 0

    found = parsed(capsys)
    assert found["exists"] is True
    assert found["variants_in_store"] == found["variants"] == ["cpu-fp32"]
    assert found["download_bytes"] == 0
    assert found["fits"] is True


@pytest.mark.parametrize(
    "arguments",
    [["status"], ["history", "tiny"], ["plan", "tiny"], ["compare", "tiny"], ["models"]],
    ids=lambda arguments: arguments[0],
)
def test_a_command_that_only_reads_does_not_import_prefect(
    released: tuple[Project, Release], arguments: list[str]
) -> None:
    """It takes seconds, and may start a server."""
    code = f"import sys; from commands.main import run; print(run({arguments}), *sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )

    exit_code, *modules = done.stdout.splitlines()[-1].split()
    assert exit_code == "0"
    assert "slipway.catalogue" in modules
    assert "prefect" not in modules


def test_a_plan_writes_nothing(project: Project, capsys: Said) -> None:
    """Not even the folder for its state."""
    shutil.rmtree(project.home)

    assert run(["plan", "tiny"]) == 0

    assert "would be built" in capsys.readouterr().out
    assert not project.home.exists()


def test_status_and_predict_before_any_release(project: Project, capsys: Said) -> None:
    """Nothing is released, and the error says how to release it."""
    assert run(["status", "--json"]) == 0
    assert parsed(capsys)[0]["champion"] is None

    assert run(["predict", "tiny", "hello"]) == 2
    assert "slipway release tiny" in capsys.readouterr().err


def test_models_lists_the_catalogue(monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    """The scenario's own model is in the catalogue that comes with the project."""
    monkeypatch.delenv("SLIPWAY_CATALOGUE", raising=False)
    assert run(["models", "--json"]) == 0

    assert "phi-3-mini-4k" in {entry["name"] for entry in parsed(capsys)}
    assert (PROJECT / "catalogue.toml").is_file()


def test_a_setting_that_makes_no_sense_is_bad_input(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    """The line names the variable."""
    monkeypatch.setenv("SLIPWAY_STEP_MEMORY_GB", "plenty")

    assert run(["release", "tiny"]) == 2

    assert "SLIPWAY_STEP_MEMORY_GB: Input should be a valid number" in capsys.readouterr().err


def test_an_internal_error_is_one_line_with_its_traceback_in_a_file(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    """Also an error that no code expects is one line; the exit code is 1."""

    def defect(_path: Path) -> None:
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr("slipway.catalogue.load", defect)

    assert run(["models"]) == 1

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("slipway: internal error: ZeroDivisionError: of ours; traceback: ")
    assert "in defect" in Path(line.rsplit(" ", 1)[1]).read_text(encoding="utf-8")
