"""A catalogue becomes entries, or a list of everything that is wrong with it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from slipway import catalogue
from slipway.errors import CatalogueInvalid, UnknownModel
from slipway.settings import PROJECT
from slipway.values import FolderSource

FIELDS = """\
title = "Tiny"
source = { kind = "hub", repo = "acme/tiny" }
recipe = { kind = "quantize", candidates = [{ precision = "int8" }] }
licenses = ["mit"]
"""
UNKNOWN = "got unknown field (expected no such field; look for a misspelling)"
NO_MODELS = "models: got nothing (expected at least one [models.<name>])"
PRECISION = "got 'int3' (expected 'fp32', 'int8' or 'int4')"
FAULTY = """\
[models.Tiny]
title = "Tiny"
source = { kind = "package", file = "tiny.gguf", repo = "acme/tiny" }
recipe = { kind = "quantize", candidates = [{ precision = "int8" }, { precision = "int3" }] }
licenses = []

[models.other]
title = "Other"
source = { kind = "hub", repo = "acme/other", package = "other" }
recipe = { kind = "select", repo = "acme", precision = "int4" }
licenses = ["mit"]
gates = { kl_mean = { max = -1 } }
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a catalogue may be written."""
    return tmp_path / "catalogue.toml"


def faults(path: Path, text: str) -> tuple[str, ...]:
    """Return what is wrong with a catalogue of this text."""
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CatalogueInvalid) as caught:
        catalogue.load(path)
    return caught.value.faults


def test_the_projects_own_catalogue_has_the_five_models() -> None:
    """Each entry says where it comes from and how it is made."""
    entries = catalogue.load(PROJECT / "catalogue.toml")

    assert {name: (e.source.kind, e.recipe.kind) for name, e in entries.items()} == {
        "smollm2-135m": ("package", "quantize"),
        "phi-3-mini-4k": ("hub", "select"),
        "phi-3.5-mini": ("hub", "select"),
        "phi-4-mini": ("hub", "select"),
        "qwen2.5-0.5b": ("hub", "quantize"),
    }
    assert all(name == entry.name for name, entry in entries.items())
    assert entries["phi-4-mini"].wrappers.onnx == "chat"
    assert entries["smollm2-135m"].schedule is None
    assert entries["smollm2-135m"].licenses == ("apache-2.0",)


def test_every_fault_is_reported_at_once_with_its_path(path: Path) -> None:
    """A person corrects the file once, not once a fault; kinds of a union are no part of a path."""
    actual = faults(path, FAULTY)

    assert actual == (
        "models.Tiny: got 'Tiny' (expected text like ^[a-z0-9][a-z0-9.-]*$)",
        "models.Tiny.source.package: got nothing (expected a value; the field is required)",
        f"models.Tiny.recipe.candidates[1].precision: {PRECISION}",
        "models.Tiny.licenses: got [] (expected at least 1)",
        f"models.other.source.package: {UNKNOWN}",
        r"models.other.recipe.repo: got 'acme' (expected text like ^[\w.-]+/[\w.-]+$)",
        "models.other.gates.kl_mean.max: got -1 (expected greater than or equal to 0)",
    )


def test_the_error_counts_the_faults_and_gives_each_a_line(path: Path) -> None:
    """Its first line says that nothing was started."""
    path.write_text(FAULTY, encoding="utf-8")

    with pytest.raises(CatalogueInvalid) as caught:
        catalogue.find(path, "other")

    first, *lines = str(caught.value).split("\n")
    assert first == f"{path} has 7 faults; nothing was started"
    assert tuple(lines) == caught.value.faults


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        pytest.param(
            '{ kind = "hub", repo = "acme/tiny" }',
            '{ repo = "acme/tiny" }',
            "models.tiny.source: got nothing (expected a field 'kind')",
            id="no kind",
        ),
        pytest.param(
            'kind = "hub"',
            'kind = "ftp"',
            "models.tiny.source: got {'kind': 'ftp', 'repo': 'acme/tiny'} "
            "(expected 'hub', 'package', 'folder')",
            id="unknown kind",
        ),
        pytest.param(
            '"Tiny"', "3", "models.tiny.title: got 3 (expected a valid string)", id="type"
        ),
        pytest.param(
            '[{ precision = "int8" }]',
            "[]",
            "models.tiny.recipe.candidates: got [] (expected at least 1)",
            id="empty list",
        ),
        pytest.param(
            'precision = "int8"',
            'precision = "int3"',
            f"models.tiny.recipe.candidates[0].precision: {PRECISION}",
            id="the only item of a list",
        ),
        pytest.param(
            'kind = "quantize", candidates = [{ precision = "int8" }]',
            'kind = "select", repo = "acme/tiny-onnx", precision = "int3"',
            "models.tiny.recipe.precision: got 'int3' (expected 'int4', 'int8', 'fp16' or 'fp32')",
            id="the only candidate of a select recipe",
        ),
        pytest.param(
            'kind = "quantize", candidates = [{ precision = "int8" }]',
            'kind = "select", repo = "acme/tiny-onnx", candidates = [{ precision = "int3" }]',
            "models.tiny.recipe.candidates[0].precision: "
            "got 'int3' (expected 'int4', 'int8', 'fp16' or 'fp32')",
            id="the only item of a select recipe's list",
        ),
        pytest.param(
            'licenses = ["mit"]',
            'licenses = ["mit"]\nwrappers = { name = "x" }',
            f"models.tiny.wrappers.name: {UNKNOWN}",
            id="unknown field called name",
        ),
        pytest.param(
            'licenses = ["mit"]',
            'licenses = ["mit"]\nschedule = "daily"',
            "models.tiny.schedule: got 'daily' "
            "(expected a cron expression of five fields, such as 0 6 * * 1)",
            id="no cron expression",
        ),
        pytest.param(
            'licenses = ["mit"]',
            'licenses = ["mit"]\nschedule = "0 25 * * *"',
            "models.tiny.schedule: got '0 25 * * *' (expected a cron expression of moments that "
            "come; [0 25 * * *] is not acceptable, out of range)",
            id="an hour that no day has",
        ),
        pytest.param(
            'licenses = ["mit"]',
            'licenses = ["mit"]\nschedule = "0 0 30 2 *"',
            "models.tiny.schedule: got '0 0 30 2 *' (expected a cron expression of moments that "
            "come; failed to find next date)",
            id="a day that no month has",
        ),
        pytest.param(
            'licenses = ["mit"]',
            'licenses = ["mit"]\ngates = { kl_mean = { max = nan } }',
            "models.tiny.gates.kl_mean.max: got nan (expected a finite number)",
            id="a limit that nothing is below",
        ),
    ],
)
def test_a_fault_says_what_was_got_and_expected(path: Path, old: str, new: str, fault: str) -> None:
    """One change to a good entry gives one fault, in full."""
    assert old in FIELDS

    assert faults(path, "[models.tiny]\n" + FIELDS.replace(old, new)) == (fault,)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", NO_MODELS),
        ("models = 3", NO_MODELS),
        ("models.tiny = 3", "models.tiny: got 3 (expected a table)"),
        (f"[models.tiny]\n{FIELDS}\n[model.other]", "model: got unknown table (expected models)"),
        (
            f'[models.tiny]\n{FIELDS}licences = ["mit"]\n',
            "models.tiny.licences: got both names (expected licenses alone)",
        ),
        (
            "[models.tiny]\ntitle = Tiny\n",
            "syntax: Invalid value (at line 2, column 9)",
        ),
    ],
    ids=["empty", "number", "no table", "misspelt table", "a field twice", "syntax"],
)
def test_a_catalogue_of_another_shape_is_refused(path: Path, text: str, fault: str) -> None:
    """What is not a table of models is named as such, with its place."""
    assert faults(path, text) == (fault,)


def test_a_missing_catalogue_is_a_fault(path: Path) -> None:
    """No traceback for a misspelt path."""
    with pytest.raises(CatalogueInvalid) as caught:
        catalogue.load(path)

    fault = "file: got No such file or directory (expected a readable catalogue)"
    assert caught.value.faults == (fault,)
    assert str(caught.value) == f"{path} has 1 fault; nothing was started\n{fault}"


def test_an_unknown_model_is_named_beside_the_known_ones(path: Path) -> None:
    """The list helps to find the misspelling."""
    path.write_text(f"[models.tiny]\n{FIELDS}\n[models.other]\n{FIELDS}", encoding="utf-8")

    with pytest.raises(UnknownModel) as caught:
        catalogue.find(path, "tyni")

    assert str(caught.value) == "unknown model 'tyni'; the catalogue has tiny, other"


def test_an_entry_is_found_by_name(path: Path) -> None:
    """What is left out has its default."""
    path.write_text(f"[models.tiny]\n{FIELDS}", encoding="utf-8")

    entry = catalogue.find(path, "tiny")

    assert (entry.name, entry.title, entry.suite) == ("tiny", "Tiny", "general")
    assert (entry.aliases, entry.wrappers.onnx) == ("champion", "prompt")


@pytest.mark.parametrize("written", ["models/mine", "../mine", "/srv/mine"])
def test_a_folder_is_looked_up_from_the_catalogues_folder(path: Path, written: str) -> None:
    """The same catalogue means the same folder, wherever the command is started from."""
    source = f'{{ kind = "folder", path = "{written}", repo = "acme/mine" }}'
    fields = FIELDS.replace('{ kind = "hub", repo = "acme/tiny" }', source)
    path.write_text(f"[models.mine]\n{fields}", encoding="utf-8")

    entry = catalogue.find(path, "mine")

    assert isinstance(entry.source, FolderSource)
    assert entry.source.path == (path.parent / written).resolve()


def test_the_old_name_of_a_field_is_read_with_a_warning(path: Path) -> None:
    """Whoever loads the catalogue decides where the warning goes; one is enough for a file."""
    text = f"[models.tiny]\n{FIELDS}\n[models.other]\n{FIELDS}"
    path.write_text(text.replace("licenses", "licences"), encoding="utf-8")
    warnings: list[str] = []

    entry = catalogue.find(path, "tiny", warn=warnings.append)

    assert entry.licenses == ("mit",)
    assert warnings == [
        f"{path}: licences is now called licenses; rename it in models.tiny, models.other"
    ]


def test_a_command_prints_the_warning_once_as_one_line(path: Path) -> None:
    """On stderr, so that the output stays what it was."""
    path.write_text(f"[models.tiny]\n{FIELDS}".replace("licenses", "licences"), encoding="utf-8")
    clean = {name: text for name, text in os.environ.items() if name != "MLFLOW_TRACKING_URI"}

    done = subprocess.run(
        [sys.executable, "-m", "slipway", "status", "tiny", "--json"],
        cwd=PROJECT,
        env=clean | {"SLIPWAY_CATALOGUE": str(path), "SLIPWAY_HOME": str(path.parent)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stderr == f"{path}: licences is now called licenses; rename it in models.tiny\n"
    assert [each["model"] for each in json.loads(done.stdout)] == ["tiny"]


ENDPOINT = 'endpoint = "http://ann:a-password@hub.example.org"'


@pytest.mark.parametrize(
    ("field", "old", "new"),
    [
        ("source", 'repo = "acme/tiny"', f'repo = "acme/tiny", {ENDPOINT}'),
        (
            "recipe",
            'kind = "quantize", candidates = [{ precision = "int8" }]',
            f'kind = "select", repo = "acme/tiny-onnx", precision = "int8", {ENDPOINT}',
        ),
    ],
)
def test_a_password_in_an_endpoint_is_refused_without_showing_it(
    path: Path, field: str, old: str, new: str
) -> None:
    """Secrets come from the environment; a catalogue is read by everybody."""
    [fault] = faults(path, f"[models.tiny]\n{FIELDS}".replace(old, new))

    assert fault.startswith(f"models.tiny.{field}.endpoint: got an address with a password")
    assert "a-password" not in fault
