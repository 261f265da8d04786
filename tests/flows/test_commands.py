"""The command line after a release: text for people, JSON for scripts."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from commands import existing
from commands.main import run
from slipway.registry import open_registry
from slipway.settings import Settings
from slipway.values import Release
from tests.support.project import PROJECT, Project, printed_by

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
    assert 'slipway predict tiny "What is the capital of Japan?"' in said


def test_a_release_that_exists_is_found_without_prefect(released: tuple[Project, Release]) -> None:
    """Its temporary server would take longer than all the rest."""
    said = printed_by(
        "import sys; from commands.main import run; code = run(['release', 'tiny']); "
        "print(code, 'prefect' in sys.modules)",
        os.environ,
    )

    assert "tiny: already released in" in said
    assert said.splitlines()[-1] == "0 False"


def test_the_flow_runs_where_something_is_left_to_do(
    released_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another recipe, a server that keeps its runs, a champion that somebody deleted."""
    client = released_project.registry().client
    found = existing.find("tiny", None, "as in the catalogue", Settings())
    assert found
    assert found.existed

    assert existing.find("tiny", None, "int8", Settings()) is None
    with monkeypatch.context() as patch:
        patch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
        assert existing.find("tiny", None, "as in the catalogue", Settings()) is None
    client.delete_registered_model_alias("tiny", "champion")
    assert existing.find("tiny", None, "as in the catalogue", Settings()) is None


def test_release_writes_junit_xml_also_of_what_exists(
    released: tuple[Project, Release], tmp_path: Path, capsys: Said
) -> None:
    """A CI job that finds the release there has its results all the same."""
    file = tmp_path / "results.xml"

    assert run(["release", "tiny", "--junit", str(tmp_path / "none" / "x.xml")]) == 2
    assert "in a folder that exists" in capsys.readouterr().err
    assert run(["release", "tiny", "--junit", str(file)]) == 0

    suites = {each.attrib["name"] for each in ET.parse(file).getroot()}  # noqa: S314
    assert suites == {"tiny prompts", "tiny checks", "tiny gates"}


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
    (found,) = parsed(capsys)
    assert found.pop("last_release")["verdict"] == "promoted"
    assert [found] == [
        {
            "model": "tiny",
            "commit": outcome.commit,
            "variant": "cpu-fp32",
            "champion": 1,
            "reference": 1,
            "previous": None,
            "candidate": 1,
            "fault": None,
        }
    ]


def test_a_release_leads_to_a_champion_where_somebody_took_it_away(
    released: tuple[Project, Release], capsys: Said, caplog: pytest.LogCaptureFixture
) -> None:
    """What is there is named as it is, with the command that makes it champion again."""
    registry = open_registry(Settings())
    registry.client.delete_registered_model_alias("tiny", "champion")

    assert run(["release", "tiny"]) == 0
    how = "slipway rollback tiny --to 1 --reason TEXT"
    assert f"tiny has no champion; {how} makes version 1 champion" in caplog.text
    said = capsys.readouterr().out
    assert re.search(r"aliases +candidate; previous champion: none", said)

    assert run(how.replace("TEXT", "again").split()[1:]) == 0
    assert "tiny: version 1 is champion\n" in capsys.readouterr().out
    assert registry.aliases("tiny") == {"candidate": 1, "champion": 1}


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

    exit_code, *modules = printed_by(code, os.environ).splitlines()[-1].split()
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
    """The exit code is 1; a number in the error's text is no status code."""

    def defect(_path: Path) -> None:
        raise ValueError("http version 401 is odd")

    monkeypatch.setattr("slipway.catalogue.load", defect)

    assert run(["models"]) == 1

    (line,) = capsys.readouterr().err.splitlines()
    expected = "slipway: internal error: ValueError: http version 401 is odd; traceback: "
    assert line.startswith(expected)
    assert "in defect" in Path(line.rsplit(" ", 1)[1]).read_text(encoding="utf-8")
