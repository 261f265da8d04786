"""A copy of a version has exactly the files that were released; anything else is refused."""

import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from slipway.errors import (
    ArtifactChanged,
    MachineTooSmall,
    MoveRefused,
    SourceMissing,
    VersionRefused,
)
from slipway.system.store import Store, sha256
from slipway.tracking import known_wrappers
from slipway.tracking.tags import CODE, DIGEST, MLMODEL
from slipway.tracking.verified_copy import CopyRequest, VerifiedCopy, fetch
from slipway.values import AuditInfo
from tests.support.fake_registry import WRAPPER, FakeRegistry

BOB = AuditInfo(actor="bob@harbour", reason="it answers in verse")
GRAPH = "artifacts/model/model.onnx"
COPIED = ["MLmodel", GRAPH, "onnx_genai.py"]
OUR_OWN = ("conda.yaml", "requirements.txt", "registered_model_meta", "input_example.json")


@pytest.fixture
def released(fake_registry: FakeRegistry) -> FakeRegistry:
    """Return a model with one released version."""
    fake_registry.release("one")
    return fake_registry


def copy(model: FakeRegistry, version: int = 1) -> VerifiedCopy:
    """Return the copy of a version."""
    return fetch(CopyRequest(place=model.registry.copies, name=model.model, version=version))


def kept(model: FakeRegistry, version: int = 1) -> Path:
    """Return the folder in which MLflow keeps a version's files."""
    client = model.registry.client
    return Path(client.get_model_version_download_uri(model.model, str(version)))


def tag(model: FakeRegistry, name: str, value: str) -> None:
    """Set a tag of version 1, as anybody may who may edit the registered model."""
    model.registry.client.set_model_version_tag(model.model, "1", name, value)


def append(file: Path) -> None:
    """Change a file."""
    with file.open("a", encoding="utf-8") as changed:
        changed.write("\n")


def test_a_copy_has_the_released_files_and_nobody_else_reads_it(released: FakeRegistry) -> None:
    """What MLflow writes beside them for other tools is not copied."""
    for name in OUR_OWN:
        (kept(released) / name).write_text("{}", encoding="utf-8")

    folder = copy(released).folder

    found = {path for path in folder.rglob("*") if path.is_file()}
    assert sorted(path.relative_to(folder).as_posix() for path in found) == COPIED
    assert {stat.S_IMODE(path.stat().st_mode) for path in found} == {0o400}
    folders = (*released.registry.copies.root.glob("**/model"), released.registry.copies.root)
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}


def test_what_changes_in_mlflows_folder_later_has_no_effect(released: FakeRegistry) -> None:
    """Neither other bytes nor another file; the copy is not a link."""
    folder = copy(released).folder
    before = {name: (folder / name).read_bytes() for name in COPIED}
    for name in COPIED:
        append(kept(released) / name)
    (kept(released) / "psutil.py").touch()

    assert {name: (folder / name).read_bytes() for name in COPIED} == before
    assert copy(released).folder == folder


def test_a_file_that_the_store_has_is_not_written_again(released: FakeRegistry) -> None:
    """It gets another name, and keeps its mode; small files are the copy's own."""
    graph = (kept(released) / GRAPH).read_bytes()
    stored = put_into_store(released, graph)
    mode = stored.stat().st_mode

    folder = copy(released).folder

    assert (folder / GRAPH).samefile(stored)
    assert (folder / GRAPH).read_bytes() == graph
    assert stored.stat().st_mode == mode
    assert (folder / "MLmodel").stat().st_nlink == 1


def test_a_copy_needs_no_disk_for_what_the_store_has(
    released: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused only where what would be written does not fit."""
    graph = (kept(released) / GRAPH).read_bytes()
    files = [path for path in kept(released).rglob("*") if path.is_file()]
    free = sum(path.stat().st_size for path in files) - len(graph)
    disk = psutil.disk_usage("/")._replace(free=free)
    for used in (released.registry.copies.root, released.registry.copies.store):
        shutil.rmtree(used, ignore_errors=True)
    monkeypatch.setattr("slipway.system.store.psutil.disk_usage", lambda _: disk)
    with pytest.raises(MachineTooSmall, match="a copy of"):
        copy(released)

    put_into_store(released, graph)

    assert (copy(released).folder / GRAPH).read_bytes() == graph


def test_a_damaged_file_of_the_store_gets_no_other_name(released: FakeRegistry) -> None:
    """The bytes come from MLflow then, as they do if the store has lost the file."""
    graph = (kept(released) / GRAPH).read_bytes()
    append(put_into_store(released, graph))
    assert (copy(released).folder / GRAPH).read_bytes() == graph

    shutil.rmtree(released.registry.copies.root)
    put_into_store(released, graph, key="another").unlink()
    assert (copy(released).folder / GRAPH).read_bytes() == graph


def put_into_store(model: FakeRegistry, content: bytes, key: str = "artifact") -> Path:
    """Return the file of a new entry of the store."""
    store = Store(model.registry.copies.store)
    entry = store.make(key, lambda into: (into / "model.onnx").write_bytes(content) and None)
    return entry.folder / "model.onnx"


def test_what_is_put_into_a_copy_is_removed(released: FakeRegistry) -> None:
    """Bytecode that something left beside the wrapper is gone before the next use."""
    folder = copy(released).folder
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "onnx_genai.cpython-311.pyc").write_bytes(b"x")

    assert sorted(path.name for path in copy(released).folder.iterdir()) == [
        "MLmodel",
        "artifacts",
        "onnx_genai.py",
    ]


@pytest.mark.parametrize(
    "path",
    [
        "__pycache__/onnx_genai.cpython-311.pyc",
        "onnx_genai.pyc",
        "mlflow.py",
        "code/sitecustomize.py",
        "notes.txt",
        "model/config.json",
        "artifacts/model/__pycache__/x.cpython-311.pyc",
        "artifacts/model/custom_ops.so",
        "artifacts/other/model.onnx",
    ],
)
def test_a_file_that_no_release_has_is_refused_by_name(released: FakeRegistry, path: str) -> None:
    """By whatever loads the version, and by a rollback to it."""
    added = kept(released) / path
    added.parent.mkdir(parents=True, exist_ok=True)
    added.write_bytes(b"x")

    with pytest.raises(VersionRefused, match=f"{path} is not part of a release; delete it"):
        copy(released)
    released.release("two")
    with pytest.raises(MoveRefused, match=path):
        released.registry.roll_back(released.model, None, BOB)


def test_another_file_of_the_artifact_is_refused(released: FakeRegistry) -> None:
    """Its name may be that of weights: the digest covers the names."""
    (kept(released) / "artifacts/model/more.onnx.data").write_bytes(b"x")

    with pytest.raises(ArtifactChanged, match="artifacts/model has digest"):
        copy(released)


@pytest.mark.parametrize("name", ["LICENSE.txt", GRAPH, "artifacts/model", "more"])
def test_a_link_is_refused(released: FakeRegistry, name: str, tmp_path: Path) -> None:
    """Whether it leads to the same bytes or to none."""
    place, elsewhere = kept(released) / name, tmp_path / "elsewhere"
    if place.exists():
        place.rename(elsewhere)
    place.symlink_to(elsewhere)

    with pytest.raises(VersionRefused, match=f"{name} is a link"):
        copy(released)


@pytest.mark.parametrize("name", COPIED)
def test_a_changed_file_is_refused(released: FakeRegistry, name: str) -> None:
    """By whatever loads the version, and by a rollback to it, although a copy is intact."""
    copy(released)
    append(kept(released) / name)
    released.release("two")

    with pytest.raises(MoveRefused, match=f"{name.removesuffix('/model.onnx')} has digest"):
        released.registry.roll_back(released.model, None, BOB)

    released.registry.copies.remove_unused(released.model, keep=set(), unused_seconds=-1)
    with pytest.raises(ArtifactChanged, match=name.removesuffix("/model.onnx")):
        copy(released)


@pytest.mark.parametrize("name", COPIED)
def test_a_missing_file_is_refused(released: FakeRegistry, name: str) -> None:
    """It is not taken from anywhere else."""
    (kept(released) / name).unlink()

    with pytest.raises(ArtifactChanged, match=name.removesuffix("/model.onnx")):
        copy(released)


@pytest.mark.parametrize("name", [DIGEST, CODE, MLMODEL])
def test_a_version_without_one_of_the_digests_is_refused(released: FakeRegistry, name: str) -> None:
    """To delete a tag does not switch its check off, also not that of a rollback or a lift."""
    copy(released)
    released.release("two")
    released.registry.client.delete_model_version_tag(released.model, "1", name)

    with pytest.raises(VersionRefused, match=rf"{name} is missing.*release MODEL --force"):
        copy(released)
    with pytest.raises(MoveRefused, match=f"{name} is missing"):
        released.registry.roll_back(released.model, None, BOB)


def test_a_quarantine_is_not_lifted_over_a_changed_wrapper(released: FakeRegistry) -> None:
    """The wrapper's code and MLmodel are compared as well as the artifact."""
    released.release("two")
    released.registry.roll_back(released.model, None, BOB)
    append(kept(released, 2) / "onnx_genai.py")

    with pytest.raises(MoveRefused, match=r"onnx_genai.py has digest"):
        released.registry.lift_quarantine(released.model, released.tags(2)["slipway.key"], BOB)


def described(change: Callable[[Any], Any]) -> Callable[[FakeRegistry], None]:
    """Return a change of ``MLmodel``, to whose digest the tag is set."""

    def apply(model: FakeRegistry) -> None:
        file = kept(model) / "MLmodel"
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
        change(document["flavors"])
        file.write_text(yaml.safe_dump(document), encoding="utf-8")
        tag(model, MLMODEL, sha256(file))

    return apply


def executing(**fields: Any) -> Callable[[FakeRegistry], None]:
    """Return a change of what MLflow's loader executes."""
    return described(lambda flavors: flavors["python_function"].update(fields))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (executing(loader_module="os"), "names loader_module 'os'"),
        (executing(model_code_path="../other.py"), r"names model_code_path '\.\./other.py'"),
        (executing(code="code"), "names code 'code'"),
        (executing(data="/tmp/data"), "names data"),  # noqa: S108 - never opened
        (executing(python_model="model.pkl"), "names python_model"),
        (executing(predict_fn="exec"), "names predict_fn"),
        (executing(artifacts={"model": {"path": "/etc"}}), "names artifacts"),
        (described(lambda flavors: flavors["python_function"].pop("loader_module")), "lacks"),
        (described(lambda flavors: flavors.update(sklearn={})), "has the flavors"),
    ],
)
def test_a_description_that_lets_mlflow_execute_something_else_is_refused(
    released: FakeRegistry, change: Callable[[FakeRegistry], None], reason: str
) -> None:
    """Even if its own tag agrees."""
    change(released)

    with pytest.raises(VersionRefused, match=f"MLmodel {reason}"):
        copy(released)


def test_a_wrapper_that_was_never_released_is_refused(
    released: FakeRegistry, tmp_path: Path
) -> None:
    """Even if its tag agrees; whoever has a wrapper of his own adds it to the list."""
    changed = kept(released) / "onnx_genai.py"
    append(changed)
    tag(released, CODE, sha256(changed))

    with pytest.raises(VersionRefused, match=r"is none that Slipway released; .*known.sha256"):
        copy(released)

    own = tmp_path / "wrappers"
    own.mkdir()
    (own / known_wrappers.FILE).write_bytes(WRAPPER.read_bytes())
    (own / known_wrappers.LIST).write_text(f"{sha256(changed)}  mine\n", encoding="utf-8")
    place = released.registry.copies.model_copy(update={"wrappers": own})
    assert fetch(CopyRequest(place=place, name=released.model, version=1)).folder.is_dir()


def test_the_wrapper_of_today_is_in_the_list() -> None:
    """Add a line for it, and keep the others: versions with them are still served."""
    listed = (WRAPPER.parent / known_wrappers.LIST).read_text(encoding="utf-8")

    assert sha256(WRAPPER) in listed


def test_a_version_that_does_not_exist_is_named(released: FakeRegistry) -> None:
    """With what to do."""
    with pytest.raises(SourceMissing, match="v7 was not found: `slipway status"):
        copy(released, 7)
