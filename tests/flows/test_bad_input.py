"""Bad input: each is one clear line, the right exit code, and nothing left behind."""

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from commands.main import run
from tests.support.failing_disk import small_disk as mounted
from tests.support.project import Project


@pytest.fixture(autouse=True)
def _nothing_is_left(project: Project) -> Iterator[None]:
    """After every test here: nothing registered, no alias, no half-written folder."""
    yield
    assert project.versions() == []
    store = project.home / "store"
    assert list(store.glob("*.staging")) == []
    assert [folder for folder in store.glob("*/") if not (folder / "manifest.json").exists()] == []


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the error that the command line printed, which is one line."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("slipway: ")]
    assert len(lines) == 1
    return lines[0]


def test_an_unknown_model_is_named_with_the_known_ones(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """A misspelt name is reported at once, with the names that exist."""
    assert run(["release", "tinny"]) == 2

    assert complaint(capsys) == "slipway: unknown model 'tinny'; the catalogue has tiny"


def test_a_catalogue_with_five_faults_lists_all_five(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every fault has its path, what was found and what was expected."""
    project.catalogue.write_text(
        "[models.tiny]\n"
        "titel = 'Tiny'\n"
        "source = { kind = 'hub', repo = 'no-slash' }\n"
        "recipe = { kind = 'quantize', candidates = [{ precision = 'int3' }] }\n"
        "licenses = 'mit'\n",
        encoding="utf-8",
    )

    assert run(["release", "tiny"]) == 2

    _first, *faults = capsys.readouterr().err.splitlines()
    assert len(faults) == 5
    assert "models.tiny.recipe.candidates[0].precision: got 'int3'" in "\n".join(faults)


def test_an_outdated_field_is_a_warning_in_the_runs_log(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    """One for each run names the file, the models and the field's present name; the run goes on."""
    from prefect import flow

    from tasks.entries import entry_of

    project.edit("licenses", "licences")
    text = project.catalogue.read_text(encoding="utf-8")
    other = text.replace("models.tiny", "models.other")
    project.catalogue.write_text(text + other, encoding="utf-8")
    logger = logging.getLogger("prefect.flow_runs")
    logger.addHandler(caplog.handler)  # where Prefect has set up its logs, it passes nothing on

    try:
        tiny, other_entry = flow(lambda: (entry_of("tiny"), entry_of("other")), name="look")()
        assert run(["rollback", "tiny", "--reason", "none", "--failed", "7"]) == 2
    finally:
        logger.removeHandler(caplog.handler)

    names = "models.tiny, models.other"
    warning = f"{project.catalogue}: licences is now called licenses; rename it in {names}"
    logged = {id(each): each for each in caplog.records if warning in each.getMessage()}
    found = [(each.levelname, each.name) for each in logged.values()]
    assert found == [("WARNING", "prefect.flow_runs")] * 2  # one for each run
    assert tiny.licenses == other_entry.licenses == ("mit",)


def pickle_instead_of_the_weights(checkpoint: Path) -> None:
    """Weights in a format that can run code."""
    (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")


def code_of_its_own(checkpoint: Path) -> None:
    """A model that transformers has no class for."""
    (checkpoint / "modeling_tiny.py").write_text("print('hello')\n", encoding="utf-8")
    config = json.loads((checkpoint / "config.json").read_bytes())
    config["architectures"] = ["TinyForCausalLM"]
    config["auto_map"] = {"AutoModelForCausalLM": "modeling_tiny.TinyForCausalLM"}
    (checkpoint / "config.json").write_text(json.dumps(config), encoding="utf-8")


def truncated_weights(checkpoint: Path) -> None:
    """An incomplete download."""
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def no_tokenizer(checkpoint: Path) -> None:
    """A checkpoint without a tokenizer."""
    (checkpoint / "tokenizer.json").unlink()


def unsupported_architecture(checkpoint: Path) -> None:
    """A model that the builder cannot convert."""
    text = (checkpoint / "config.json").read_text(encoding="utf-8")
    changed = text.replace("Phi3ForCausalLM", "GPT2LMHeadModel")
    (checkpoint / "config.json").write_text(changed, encoding="utf-8")


def another_license(checkpoint: Path) -> None:
    """A license that the entry does not list."""
    card = (checkpoint / "README.md").read_text(encoding="utf-8")
    changed = card.replace("license: mit", "license: cc-by-nc-4.0")
    (checkpoint / "README.md").write_text(changed, encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (pickle_instead_of_the_weights, "there are no weights; save them as safetensors"),
        (code_of_its_own, "auto_map asks to run code of the source"),
        (truncated_weights, "slipway: model.safetensors: not a whole safetensors file"),
        (no_tokenizer, "slipway: tokenizer.json: a checkpoint needs it, and it is missing"),
        (unsupported_architecture, "architecture GPT2LMHeadModel cannot be quantized"),
        (another_license, "the source's license is cc-by-nc-4.0 (allowed: mit)"),
        (shutil.rmtree, "correct the entry's source.path"),
    ],
)
def test_a_source_that_breaks_a_rule_is_refused(
    project: Project, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None], text: str
) -> None:
    """The line names the file or field, the rule, and what to do; the exit code is 2."""
    damage(project.checkpoint)

    assert run(["release", "tiny"]) == 2

    assert text in complaint(capsys)


@pytest.fixture
def small_disk(project: Project) -> Iterator[None]:
    """Put the store on a file system of 200 kB."""
    with mounted(project.home / "store", 200_000):
        yield


@pytest.mark.usefixtures("small_disk")
def test_too_little_disk_is_reported_before_anything_is_written(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line says how much is needed and how much is free."""
    assert run(["release", "tiny"]) == 1

    assert "GB of disk, and 0.0 GB are free; free some, or set SLIPWAY_HOME" in complaint(capsys)


def test_a_builder_that_crashes_is_reported_with_its_reason(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line names the candidate and the error; the builder's output is in a file."""
    config = json.loads((project.checkpoint / "config.json").read_bytes())
    config["hidden_act"] = "nonsense"
    (project.checkpoint / "config.json").write_text(json.dumps(config), encoding="utf-8")

    assert run(["release", "tiny"]) == 1

    assert "could be built: cpu-fp32: build crashed: KeyError" in complaint(capsys)
    assert [*(project.home / "logs").glob("build-*.log")]


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        # less than the builder takes, and less than its libraries alone need
        ("SLIPWAY_STEP_TIMEOUT_SECONDS", "build did not end within 0.1 s"),
        ("SLIPWAY_STEP_MEMORY_GB", "build was ended for memory"),
    ],
)
def test_a_builder_is_stopped_at_its_limit(
    project: Project,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    text: str,
) -> None:
    """One that hangs, or takes too much memory, does not take the machine."""
    monkeypatch.setenv(setting, "0.1")

    assert run(["release", "tiny"]) == 1

    assert text in complaint(capsys)


def test_an_mlflow_address_without_a_server_is_reported_at_once(
    project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's own client would try for minutes."""
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")

        assert run(["release", "tiny"]) == 1

    assert "MLflow at http://127.0.0.1:9 does not answer" in complaint(capsys)


def test_scripts_get_the_error_as_json(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --json the whole answer is one document, an error too."""
    assert run(["release", "tinny", "--json"]) == 2

    document = json.loads(capsys.readouterr().out)
    assert document["error"] == "UnknownModel"
    assert document["exit_code"] == 2
