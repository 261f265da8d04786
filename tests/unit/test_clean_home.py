"""Caches, logs and results of the home go by age; what is freed is what was listed."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from commands.main import run
from slipway.clean import clean_up
from slipway.clean.decision import leaving
from slipway.serving.protocol import Pointer, write_pointer
from slipway.settings import Settings
from slipway.system.store import Store

DAY = 24 * 3600

#: Where a file may lie, and what of it a clean-up deletes.
PLACES = (
    "store/{}/model/weights",
    "store/{}.partial/weights",
    "copies/tiny/{}-abc/model/weights",
    "logs/{}.log",
    "prefect/results/{}",
    "mlflow/artifacts/{}",
    "secrets/{}",
)


#: Folders that a process removes at its end.
BRIEF = (
    "store/changing/old",
    "store/ended.partial",
    "copies/tiny/1-abc",
    "logs/ended",
    "prefect/results/ended",
    "serving/tiny/preflight-1",
)


@contextmanager
def removing(at: int, folders: Sequence[Path]) -> Iterator[Callable[[], bool]]:
    """Remove folders just before the look number ``at`` at anything while the body runs.

    Yields:
        Tells whether there were as many looks.
    """
    looks = itertools.count(1)
    done: list[int] = []

    def before(look: Callable[..., Any]) -> Callable[..., Any]:
        def looking(*arguments: Any, **options: Any) -> Any:
            if next(looks) == at:
                done.append(at)
                for folder in folders:
                    shutil.rmtree(folder)
            return look(*arguments, **options)

        return looking

    with pytest.MonkeyPatch.context() as patch:
        for name in ("stat", "scandir"):
            patch.setattr(os, name, before(getattr(os, name)))
        yield lambda: bool(done)


def put(home: Path, name: str, size: int, days: float) -> Path:
    """Write a file that was last used so many days ago, as were the folders above it."""
    file = home / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x" * size)
    used = datetime.now(UTC).timestamp() - days * DAY
    for path in (file, *file.parents[: len(Path(name).parents)]):
        os.utime(path, (used, used))
    return file


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder; one with several names counts once."""
    found = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return sum({each.st_ino: each.st_size for each in found}.values())


def free(home: Path) -> tuple[int, set[str]]:
    """Clean a home; return the bytes that were listed before, and the names of what is gone."""
    at = datetime.now(UTC)
    plan = clean_up.plan_home(Settings(home=home), at)
    listed = sum(each.freed_bytes for each in leaving(plan))
    gone = clean_up.free_home(plan, at)
    return listed, {each.item.name for each in gone}


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(PLACES),
            st.integers(0, 5000),
            st.floats(0, 90).filter(lambda days: abs(days - 30) > 0.1),
        ),
        max_size=12,
    )
)
def test_what_is_freed_is_what_was_listed(content: list[tuple[str, int, float]]) -> None:
    """To the byte, whatever lies there; what is young, or not a cache, stays."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder).resolve()
        files = [
            (put(home, place.format(number), size, days), days, place.split("/")[0])
            for number, (place, size, days) in enumerate(content)
        ]
        before = size_of(home)

        listed, _ = free(home)

        assert before - size_of(home) == listed
        for file, days, kind in files:
            assert file.exists() == (days < 30 or kind in {"mlflow", "secrets"})


DAYS = st.floats(0, 90).filter(lambda days: abs(days - 30) > 0.1)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5000), DAYS, DAYS, st.booleans()), max_size=6))
def test_a_file_of_the_store_and_of_a_copy_frees_its_bytes_once(
    pairs: list[tuple[int, float, float, bool]],
) -> None:
    """With the last of both that goes; not at all while one is used or served."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder).resolve()
        for number, (size, stored_days, copied_days, is_served) in enumerate(pairs, 1):
            weights = put(home, f"store/{number}/model/weights", size, stored_days)
            copied = put(home, f"copies/tiny/{number}-abc/model/weights", 0, copied_days)
            copied.unlink()
            copied.hardlink_to(weights)
            for path in (copied.parent, weights):
                os.utime(path, (0, 0))
            if is_served:
                pointer = Pointer(model="tiny", version=number)
                write_pointer(home / "serving" / str(number) / "pointer.json", pointer)
        before = size_of(home)

        listed, _ = free(home)

        assert before - size_of(home) == listed


def test_an_entry_that_somebody_writes_or_has_just_used_stays(tmp_path: Path) -> None:
    """A release holds the lock of what it writes, and verifies what it uses."""
    written = put(tmp_path, "store/written.partial/weights", 10, days=40)
    used = put(tmp_path, "store/used/model/weights", 10, days=40)
    at = datetime.now(UTC)
    plan = clean_up.plan_home(Settings(home=tmp_path), at)
    os.utime(used.parent.parent, (at.timestamp() + 1, at.timestamp() + 1))

    with FileLock(tmp_path / "store" / "written.lock"):
        gone = clean_up.free_home(plan, at)

    assert gone == ()
    assert written.exists()
    assert used.exists()


def test_a_use_of_an_entry_makes_it_young(tmp_path: Path) -> None:
    """A release that finds it reads every byte, and needs it for hours."""
    store = Store(tmp_path / "store")
    entry = store.make("weights", lambda into: (into / "weights").write_bytes(b"x") and None)
    old = datetime.now(UTC).timestamp() - 40 * DAY
    for path in (entry.folder.parent, *entry.folder.parent.rglob("*")):
        os.utime(path, (old, old))
    assert leaving(clean_up.plan_home(Settings(home=tmp_path), datetime.now(UTC))) != ()

    assert store.find("weights") is not None

    assert leaving(clean_up.plan_home(Settings(home=tmp_path), datetime.now(UTC))) == ()


def test_what_a_model_server_of_this_home_has_stays(tmp_path: Path) -> None:
    """Also beside another version, and however long ago it was loaded."""
    for number in (1, 2, 3):
        put(tmp_path, f"copies/tiny/{number}-abc/model.onnx", 10, days=400)
    write_pointer(tmp_path / "serving" / "tiny" / "pointer.json", Pointer(model="tiny", version=1))
    beside = tmp_path / "serving" / "tiny" / "beside" / "pointer.json"
    write_pointer(beside, Pointer(model="tiny", version=3))

    assert free(tmp_path) == (10, {"copies/tiny/2-abc"})


def test_what_a_process_removes_while_it_is_listed_is_left_out(tmp_path: Path) -> None:
    """Before any look at a file or into a folder; the rest is listed all the same."""
    for at in itertools.count(1):
        home = (tmp_path / str(at)).resolve()
        for folder in ("store/tiny", "store/changing", *BRIEF):
            put(home, f"{folder}/file", 10, days=40)
        with removing(at, [home / each for each in BRIEF]) as is_done:
            plan = clean_up.plan_home(Settings(home=home), datetime.now(UTC))

        gone = clean_up.free_home(plan, datetime.now(UTC))

        assert "store/tiny" in {each.item.name for each in gone}
        if not is_done():
            break
    assert at > len(BRIEF)


def test_days_are_a_setting(tmp_path: Path) -> None:
    """One day at least, so that a release that is running keeps what it uses."""
    put(tmp_path, "logs/build.log", 10, days=3)
    at = datetime.now(UTC)

    for days, count in ((30, 0), (2, 1)):
        plan = clean_up.plan_home(Settings(home=tmp_path, keep_days=days), at)
        assert len(leaving(plan)) == count
    assert leaving(clean_up.plan_home(Settings(home=tmp_path), at + timedelta(days=28))) != ()


def test_people_read_what_goes_and_how_many_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row for each entry, and one for all logs; a dry run deletes nothing, a second run too."""
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    put(tmp_path, "store/weights-tiny/model/weights", 1000, days=40)
    for name in ("build", "log"):
        put(tmp_path, f"logs/{name}.log", 10, days=40)

    assert run(["clean", "--dry-run"]) == 0
    listed = capsys.readouterr().out
    lines = listed.splitlines()
    assert run(["clean"]) == 0

    freed = capsys.readouterr().out
    assert run(["clean"]) == 0
    assert capsys.readouterr().out.startswith("nothing can go")
    assert ["store", "store/weights-tiny", "1,000"] in [line.split()[:3] for line in lines]
    assert "2 files in logs" in listed
    assert "1,020 bytes would be freed" in listed
    assert "1,020 bytes are freed" in freed
    assert size_of(tmp_path) == 0
