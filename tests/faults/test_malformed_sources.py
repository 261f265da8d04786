"""Malformed repositories: each is refused with one line, quickly, and leaves no files."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from slipway.errors import SourceRefused
from slipway.system.store import Store
from slipway.validation import chat_templates, folders
from slipway.validation.folders import ArtifactFacts, CheckpointFacts, FolderRequest
from tests.support.malformed import Damage, config, respelled, write_artifact, write_checkpoint
from tests.support.malformed_artifacts import CONFIG, CONFIGS, GRAPHS, PROVIDERS, SESSION, TEMPLATES
from tests.support.malformed_files import CHECKPOINTS, CONTENTS, NAMES


class Kind(NamedTuple):
    """A kind of repository: how a good one is written, and what inspects it."""

    write: Damage
    inspect: Callable[[Path], object]


def here(inspect: Callable[[FolderRequest], CheckpointFacts | ArtifactFacts]) -> Damage:
    """Return the checks of a folder in this process, which are the quicker for it."""

    def check(folder: Path) -> None:
        for template in inspect(FolderRequest(folder=folder)).templates:
            chat_templates.require_renders(template)

    return check


CHECKPOINT = Kind(write_checkpoint, here(folders.inspect_checkpoint))
ARTIFACT = Kind(write_artifact, here(folders.inspect_artifact))
STAGE = {"filename": "model.onnx"}
PLACES = {
    "the decoder's session": SESSION,
    "a provider": PROVIDERS,
    "the model": "model",
    "the decoder": "model/decoder",
    "the search": "search",
    "run options": "model/decoder/run_options",
    "the embedding": "model/embedding/session_options",
    "the images": "model/vision/session_options",
}
SPELLINGS = ("custom_ops_library", "Custom_Ops_Library", "enable_profiling", "ENABLE_PROFILING")


def refuse(folder: Path, kind: Kind, damage: Damage) -> tuple[SourceRefused, float]:
    """Try to store a damaged repository; return the refusal, and the seconds until it."""
    store = Store(folder / "work" / "store")

    def fill(into: Path) -> None:
        kind.write(into)
        damage(into)
        kind.inspect(into)

    started = time.monotonic()
    with pytest.raises(SourceRefused) as caught:
        store.make("weights-1", fill)
    assert [path.name for path in store.root.iterdir()] == ["weights-1.lock"]
    return caught.value, time.monotonic() - started


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with one for temporary files, which has to be empty at the end."""
    for name in ("work", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(folder: Path, refused: tuple[SourceRefused, float], file: str, rule: str) -> None:
    """Compare a refusal with the expected one."""
    error, seconds = refused
    assert error.file == file
    assert rule in error.rule
    assert str(error).isprintable()
    assert len(str(error)) < 400
    assert seconds < 30  # on a busy machine
    left = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    assert left == ["temporary", "work", "work/store", "work/store/weights-1.lock"]


@pytest.mark.parametrize(
    ("damage", "file", "rule"), [pytest.param(*case, id=name) for name, case in CHECKPOINTS.items()]
)
def test_a_malformed_checkpoint_is_refused(
    folder: Path, damage: Damage, file: str, rule: str
) -> None:
    """By the content of its files, and not by their names alone."""
    refused = refuse(folder, CHECKPOINT, damage)

    check(folder, refused, file, rule)


@pytest.mark.parametrize(
    ("damage", "file", "rule"),
    [pytest.param(*case, id=name) for name, case in (NAMES | CONTENTS).items()],
)
@pytest.mark.parametrize("kind", [CHECKPOINT, ARTIFACT], ids=["checkpoint", "artifact"])
def test_a_malformed_repository_of_any_kind_is_refused(
    folder: Path, kind: Kind, damage: Damage, file: str, rule: str
) -> None:
    """The rules of names and contents hold for checkpoints and for artifacts."""
    refused = refuse(folder, kind, damage)

    check(folder, refused, file, rule)


@pytest.mark.parametrize(
    ("damage", "file", "rule"),
    [
        pytest.param(*case, id=f"{kind}: {name}")
        for kind, cases in (("graph", GRAPHS), ("config", CONFIGS), ("template", TEMPLATES))
        for name, case in cases.items()
    ],
)
def test_a_malformed_artifact_is_refused(
    folder: Path, damage: Damage, file: str, rule: str
) -> None:
    """Before any runtime sees its graph, its configuration or its chat template."""
    refused = refuse(folder, ARTIFACT, damage)

    check(folder, refused, file, rule)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_no_spelling_of_a_library_or_a_profile_is_allowed(
    folder: Path, place: str, spelling: str
) -> None:
    """In any section: onnxruntime-genai would load the one, and write the other."""
    value = [{"cuda": {spelling: "x"}}] if place == PROVIDERS else "x"
    field = place if place == PROVIDERS else f"{place}/{spelling}"

    refused = refuse(folder, ARTIFACT, config(field, value))

    check(folder, refused, CONFIG, "not allowed: ")


@pytest.mark.parametrize(
    "text",
    [
        '"custom_ops_librar\\u0079": "evil.so"',
        '"\\u0063ustom_ops_library": "evil.so"',
        '"enable\\u005fprofiling": "/var/x"',
        '"log_id": "a", "custom_ops_library": "evil.so"',
        '"custom_ops_library": null',
        '"custom_ops_library ": "evil.so"',
        '"custom_ops_library": "", "custom_ops_library": "evil.so"',
    ],
)
def test_no_disguise_of_a_library_or_a_profile_is_allowed(folder: Path, text: str) -> None:
    """Such as letters written as escapes, or a key that occurs twice."""
    damage = respelled('"provider_options"', f'{text}, "provider_options"')

    refused = refuse(folder, ARTIFACT, damage)

    check(folder, refused, CONFIG, "")


def test_a_library_is_refused_in_a_stage_of_a_pipeline(folder: Path) -> None:
    """Each stage has a session of its own."""
    stage = STAGE | {"session_options": {"custom_ops_library": "x"}}
    damage = config("model/decoder/pipeline", [{"first": stage}])

    refused = refuse(folder, ARTIFACT, damage)

    check(folder, refused, CONFIG, "'custom_ops_library' was unexpected")
