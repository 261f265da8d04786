"""A store's entry is whole and unchanged, or it is not there."""

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import psutil
import pytest

from slipway.errors import MachineTooSmall, StoreDamaged
from slipway.system import store as stores
from slipway.system.process import ProcessLimits
from slipway.system.store import Store
from tests.support.child_functions import ChildRequest

KEY = "weights-acme--tiny-0123"
FILES = {"config.json": b"{}", "model.safetensors": b"12345678", "onnx/model.onnx": b"graph"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a store whose folder is not there yet."""
    return Store(tmp_path / "deep" / "store")


def fill(folder: Path) -> None:
    """Write the files of an entry."""
    for path, content in FILES.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(content)


def refuse_to_fill(_folder: Path) -> None:
    """Fail a test that has no reason to make anything."""
    pytest.fail("an entry that is there was made again")


def names(store: Store) -> set[str]:
    """Return what lies in the store, without the locks that stay there."""
    return {path.name for path in store.root.iterdir() if path.suffix != ".lock"}


def test_an_entry_is_made_once_and_found_again(store: Store) -> None:
    """Also by another process, which begins with an empty memory."""
    made = store.make(KEY, fill)

    assert store.make(KEY, refuse_to_fill) == made
    assert Store(store.root).find(KEY) == made
    assert {path: (made.folder / path).read_bytes() for path in FILES} == FILES
    assert names(store) == {KEY}


def test_an_entry_lists_every_file_by_content(store: Store) -> None:
    """Paths in order, sizes in bytes, and digests that anybody can check."""
    made = store.make(KEY, fill)

    assert [(file.path, file.size_bytes, file.sha256) for file in made.files] == [
        (path, len(content), sha256(content).hexdigest()) for path, content in FILES.items()
    ]
    assert made.size_bytes == 15


def test_the_manifest_is_written_in_order_of_paths(store: Store) -> None:
    """However the files were written, so that the same content gives the same manifest."""

    def fill_backwards(folder: Path) -> None:
        for name in ("b", "C", "a"):
            (folder / name).write_text(name)

    made = store.make(KEY, fill_backwards)

    written = json.loads((store.root / KEY / "manifest.json").read_bytes())
    assert [file["path"] for file in written["files"]] == ["C", "a", "b"]
    assert stores.manifest(made.folder) == made.files


def test_what_was_hashed_on_the_disk_is_not_read_again(store: Store) -> None:
    """Whoever fills an entry may say what it hashed; the rest is hashed here."""
    known = sha256(FILES["config.json"]).hexdigest()
    said = "0" * 64

    def fill_and_tell(folder: Path) -> dict[str, str]:
        fill(folder)
        return {"config.json": known, "model.safetensors": said}

    made = store.make(KEY, fill_and_tell)

    graph = sha256(FILES["onnx/model.onnx"]).hexdigest()
    assert [file.sha256 for file in made.files] == [known, said, graph]
    assert store.find(KEY) is None  # what was said wrongly is found out by the next who looks


def test_the_files_of_all_entries_are_found_by_content(store: Store) -> None:
    """Without the entry whose manifest is damaged; nothing is read, so they may have changed."""
    assert store.files() == {}
    entry = store.make(KEY, fill)
    (store.make("damaged", fill).folder.parent / "manifest.json").write_text("{", encoding="utf-8")

    found = store.files()

    assert found == {sha256(FILES[path]).hexdigest(): entry.folder / path for path in FILES}


def test_nothing_is_found_before_it_is_made(store: Store) -> None:
    """Neither in a store that is not there nor in an empty one."""
    assert store.find(KEY) is None

    store.make("another", fill)

    assert store.find(KEY) is None


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda model: flip_a_byte(model / "model.safetensors"), id="flipped bit"),
        pytest.param(lambda model: (model / "config.json").unlink(), id="deleted file"),
        pytest.param(lambda model: (model / "config.json").write_bytes(b"[]"), id="same size"),
        pytest.param(lambda model: (model / "config.json").write_bytes(b""), id="emptied file"),
        pytest.param(lambda model: (model / "extra.json").write_bytes(b"{}"), id="added file"),
        pytest.param(shutil.rmtree, id="deleted folder"),
        pytest.param(lambda model: (model.parent / "manifest.json").unlink(), id="no manifest"),
        pytest.param(
            lambda model: (model.parent / "manifest.json").write_text('{"key":'), id="cut manifest"
        ),
    ],
)
def test_a_damaged_entry_is_not_found_and_made_anew(
    store: Store, damage: Callable[[Path], object]
) -> None:
    """Every byte is read again before an entry is used."""
    made = store.make(KEY, fill)
    damage(made.folder)

    assert store.find(KEY) is None
    assert store.make(KEY, fill) == made
    assert store.find(KEY) == made


def flip_a_byte(path: Path) -> None:
    """Change one bit in the middle of a file, as a failing disk does."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_verifying_names_the_file_at_fault(store: Store) -> None:
    """The error is one that trying again helps against."""
    made = store.make(KEY, fill)
    stores.verify(made)
    flip_a_byte(made.folder / "onnx/model.onnx")

    with pytest.raises(StoreDamaged) as caught:
        stores.verify(made)

    assert (caught.value.key, caught.value.file) == (KEY, "onnx/model.onnx")


def test_a_store_that_was_moved_keeps_its_entries(store: Store, tmp_path: Path) -> None:
    """The files are looked for where the store is, not where it was when they were made."""
    store.make(KEY, fill)
    moved = Store(store.root.rename(tmp_path / "elsewhere"))

    found = moved.find(KEY)

    assert found is not None
    assert found.folder == tmp_path / "elsewhere" / KEY / "model"


def test_a_fill_that_fails_leaves_nothing(store: Store) -> None:
    """The error goes on to the caller, and the next run starts from nothing."""

    def fail(folder: Path) -> None:
        fill(folder)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        store.make(KEY, fail)

    assert names(store) == set()
    assert store.make(KEY, fill).size_bytes == 15


def test_a_fill_that_writes_nothing_is_no_entry(store: Store) -> None:
    """An entry has at least one file."""
    with pytest.raises(ValueError, match="at least 1 item"):
        store.make(KEY, lambda _folder: None)

    assert names(store) == set()


@contextmanager
def filling(store: Store, tenths: int, count: int = 1) -> Iterator[list[subprocess.Popen[str]]]:
    """Start processes that make the same entry, each taking its time for it."""
    request = ChildRequest(text=KEY, number=tenths, path=store.root).model_dump_json()
    script = (
        "from tests.support.child_functions import ChildRequest, fill_slowly;"
        f"fill_slowly(ChildRequest.model_validate_json({request!r}))"
    )
    command = [sys.executable, "-u", "-c", script]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_a_process_killed_while_it_fills_leaves_no_entry(
    store: Store, limits: ProcessLimits
) -> None:
    """What it left in staging is not taken for an entry, and the next run clears it away."""
    left = store.root / f"{KEY}.staging" / "model" / "config.json"
    with filling(store, tenths=600) as [process]:
        assert process.stdout is not None
        assert process.stdout.readline() == "filling\n"
        store.remove_leftovers()
        assert left.exists()  # the process still writes there

    assert left.exists()
    assert store.find(KEY) is None
    store.remove_leftovers()
    assert names(store) == set()
    assert store.make(KEY, fill).size_bytes == 15
    assert names(store) == {KEY}


def test_a_start_may_clear_away_what_is_being_removed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clean-up that runs beside a release does not fail."""
    store.make(KEY, fill)
    rename = Path.rename

    def rename_and_start(path: Path, target: Path) -> Path:
        renamed = rename(path, target)
        store.remove_leftovers()
        return renamed

    monkeypatch.setattr(Path, "rename", rename_and_start)

    assert store.remove(KEY, math.inf)
    assert names(store) == set()


def test_processes_that_make_the_same_entry_fill_it_once(
    store: Store, limits: ProcessLimits
) -> None:
    """The others wait, and find what the first has made."""
    store.root.parent.mkdir(parents=True)
    with filling(store, tenths=10, count=3) as processes:
        statuses = [process.wait(timeout=60) for process in processes]

    assert statuses == [0, 0, 0]
    assert (store.root.parent / "fills").read_text() == "filled\n"
    assert store.find(KEY) is not None


def test_two_entries_are_filled_side_by_side(store: Store) -> None:
    """The lock is an entry's, not the store's."""

    def fill_outer(folder: Path) -> None:
        store.make("inner", fill)
        fill(folder)

    store.make("outer", fill_outer)

    assert names(store) == {"inner", "outer"}


def test_nothing_is_started_without_room_for_it(store: Store, tmp_path: Path) -> None:
    """An existing entry needs none."""
    free_bytes = psutil.disk_usage(str(tmp_path)).free
    too_much = 1 << 60

    with pytest.raises(MachineTooSmall) as caught:
        store.make(KEY, refuse_to_fill, size_bytes=too_much)

    assert (caught.value.resource, caught.value.needed_bytes) == ("disk", too_much)
    assert caught.value.free_bytes == pytest.approx(free_bytes, rel=0.1)
    assert names(store) == set()
    made = store.make(KEY, fill, size_bytes=15)
    assert store.make(KEY, refuse_to_fill, size_bytes=too_much) == made


def test_files_that_wait_in_the_partial_folder_need_no_room_again(store: Store) -> None:
    """A download that is almost complete goes on where a whole one would not fit."""
    free_bytes = psutil.disk_usage(str(store.root.parent.parent)).free
    waiting = 1 << 40  # bytes of a file with nothing in it: it takes no room
    partial = store.partial(KEY)
    partial.mkdir(parents=True)
    with (partial / "model.safetensors").open("wb") as file:
        file.truncate(waiting)

    made = store.make(KEY, fill, size_bytes=waiting + free_bytes // 2)

    assert made.size_bytes == 15
    assert names(store) == {KEY}
