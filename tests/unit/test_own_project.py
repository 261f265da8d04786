"""A project of one's own: written by ``init``, found from any folder below, extended by ``add``."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from commands import project
from commands.main import run
from slipway import catalogue
from slipway.checks import suites
from slipway.errors import CatalogueInvalid, SourceMissing
from slipway.settings import PROJECT, Settings
from tests.support.acme_models import FAST, ONNX_REPO, REPO, SLOW
from tests.support.hub import RunningHub

Said = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the settings of whoever runs the tests, and what a test sets."""
    for name in ("HOME", "CATALOGUE", "ENVIRONMENT", "ENVIRONMENTS", "EXPECTATIONS", "SERVE"):
        monkeypatch.setenv(f"SLIPWAY_{name}", "")
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return a new project."""
    folder = tmp_path / "own"
    assert run(["init", str(folder)]) == 0
    return folder


def test_init_writes_a_project_that_can_be_released(own: Path) -> None:
    """Its one model needs no Hub; its prompts are explained, and checkable."""
    (entry,) = catalogue.load(own / "catalogue.toml").values()

    suites.require_checkable(entry, own / "expectations")
    explained = (own / "expectations" / "README.md").read_text(encoding="utf-8")
    prompts = json.loads((own / "expectations" / "prompts" / "general.json").read_bytes())
    assert all(f"`{field}`" in explained for prompt in prompts for field in prompt)
    assert ".slipway/" in (own / ".gitignore").read_text(encoding="utf-8")
    assert subprocess.run(["/bin/sh", "-n", str(own / "ci.sh")], check=False).returncode == 0


def test_init_overwrites_nothing(own: Path, capsys: Said) -> None:
    """One line names the file that is there."""
    (own / "catalogue.toml").write_text("mine", encoding="utf-8")
    capsys.readouterr()

    assert run(["init", str(own)]) == 2

    assert "exists, and nothing is overwritten" in capsys.readouterr().err
    assert (own / "catalogue.toml").read_text(encoding="utf-8") == "mine"


def test_commands_find_the_project_from_any_folder_below(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As git finds its repository; state, catalogue and expectations are the project's."""
    below = own / "notes" / "deep"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)

    project.use()

    settings = Settings()
    assert settings.home == own / ".slipway"
    assert settings.catalogue == own / "catalogue.toml"
    assert settings.expectations == own / "expectations"
    assert settings.wrappers == PROJECT / "wrappers"


def test_the_environment_takes_precedence_over_the_project(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable is for one call."""
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.chdir(own)

    project.use()

    assert Settings().home == tmp_path / "elsewhere"
    assert Settings().catalogue == own / "catalogue.toml"


def test_a_project_has_environments_of_its_own(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As tables; every process of a command receives them."""
    table = '[environments.prod]\ntracking_uri = "https://mlflow.example"\nserved_hours = 24\n'
    (own / project.FILE).write_text(f'environment = "staging"\n{table}', encoding="utf-8")
    monkeypatch.chdir(own)

    project.use()

    settings, prod = Settings(), Settings().environment_of("prod")
    assert settings.environment == "staging"
    assert (prod.tracking_uri, prod.served_hours) == ("https://mlflow.example", 24)
    assert prod.target == "champion"
    with pytest.raises(SourceMissing, match="the settings have prod"):
        settings.environment_of("dev")


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ('{"prod": {"tracking_uri": "http://ann:secret@prod"}}', "prod.tracking_uri: "),
        ('{"prod": {"tracking_uri": "http://prod", "password": "x"}}', "prod.password: Extra"),
        ('{"prod": {}}', "SLIPWAY_ENVIRONMENTS.prod.tracking_uri: Field required"),
        ("prod", "SLIPWAY_ENVIRONMENTS: "),
    ],
)
def test_a_fault_of_an_environment_is_reported_with_its_place(
    monkeypatch: pytest.MonkeyPatch, written: str, fault: str
) -> None:
    """A password has no place there."""
    monkeypatch.setenv("SLIPWAY_ENVIRONMENTS", written)

    with pytest.raises(CatalogueInvalid, match=fault):
        Settings()


def test_an_empty_variable_names_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a container receives it whose user has set none."""
    monkeypatch.setenv("SLIPWAY_ENVIRONMENTS", "")

    assert Settings().environments == {}


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('environments = "prod"', r"environments: got 'prod' \(expected tables"),
        ('hoem = "x"', "hoem: got unknown setting"),
        ('auth = "ann:a-long-password"', "auth: got unknown setting"),
        ('wrappers = "code"', "wrappers: got unknown setting"),
        ("home = [1]", r"home: got \[1\] \(expected a text"),
        ("home =", "syntax: "),
    ],
)
def test_a_fault_in_the_projects_file_is_reported_with_its_place(
    own: Path, monkeypatch: pytest.MonkeyPatch, line: str, fault: str
) -> None:
    """Neither secrets nor code that is shipped in a model can be named there."""
    (own / project.FILE).write_text(line, encoding="utf-8")
    monkeypatch.chdir(own)

    with pytest.raises(CatalogueInvalid, match=fault):
        project.use()


def test_the_file_of_another_user_is_refused(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody may write one to /tmp, and it would name the home of every project below."""
    monkeypatch.chdir(own)
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    found = os.stat_result((stat.S_IFREG, *[0] * 3, 4712, *[0] * 5))
    monkeypatch.setattr(Path, "stat", lambda *_, **__: found)
    monkeypatch.setattr(project, "find", lambda _: own / project.FILE)

    with pytest.raises(CatalogueInvalid, match="of another user"):
        project.use()


def test_the_checkout_has_its_own_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """A project around the checkout does not change what its own commands do."""
    assert project.find(PROJECT / "docs") is None


@pytest.fixture
def in_own(own: Path, running: RunningHub, monkeypatch: pytest.MonkeyPatch, capsys: Said) -> Path:
    """Return a new project, which is the current folder; the Hub is the local one."""
    monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
    monkeypatch.chdir(own)
    capsys.readouterr()
    return own


def test_add_writes_an_entry_that_a_release_can_resolve(in_own: Path, capsys: Said) -> None:
    """License, architecture and published artifacts are what the Hub says."""
    assert run(["add", f"hf:{REPO}", "--name", "mine", "--json"]) == 0

    document = json.loads(capsys.readouterr().out)
    entry = catalogue.find(in_own / "catalogue.toml", "mine")
    assert document["entry"] == entry.model_dump(mode="json")
    assert (document["offer"]["license"],) == entry.licenses
    published = document["offer"]["published"][ONNX_REPO]
    assert [each["folder"] for each in published] == [SLOW, FAST]
    assert len(catalogue.load(in_own / "catalogue.toml")) == 2


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["hf:acme/nothing"], "acme/nothing"),
        (["acme"], "name it as hf:organisation/name"),
        ([f"hf:{REPO}", "--name", "smollm2-135m"], "models.smollm2-135m: is there already"),
        ([f"hf:{REPO}", "--name", "My Model"], "got 'My Model'"),
    ],
)
def test_add_refuses_in_one_line_and_leaves_the_catalogue_as_it_was(
    in_own: Path, capsys: Said, words: list[str], reason: str
) -> None:
    """Exit code 2."""
    before = (in_own / "catalogue.toml").read_bytes()

    assert run(["add", *words]) == 2

    assert reason in capsys.readouterr().err
    assert (in_own / "catalogue.toml").read_bytes() == before
    assert [path.name for path in in_own.glob(".catalogue*")] == []
