"""A backup is there as a whole or not at all, and a full disk is one line."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from deployments import backup
from slipway.errors import DiskFailed, SourceMissing
from tests.support.failing_disk import FailingDisk, small_disk

MEGABYTE = 1 << 20


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home with a database, a secret and an artifact."""
    home = tmp_path / "home"
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_SERVER_DATABASE_CONNECTION_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLIPWAY_HOME", str(home))
    fill(home / "mlflow" / "mlflow.db", 10)
    for name in ("secrets/words", "mlflow/artifacts/1/model.onnx"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(name, encoding="utf-8")
    return home


def fill(database: Path, size_bytes: int) -> None:
    """Make a database with a blob of this size."""
    database.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE files (content)")
        connection.execute("INSERT INTO files VALUES (zeroblob(?))", (size_bytes,))


def content(folder: Path) -> dict[str, object]:
    """Return every file below a folder by its path; of a database its rows."""
    found: dict[str, object] = {}
    for path in (each for each in folder.rglob("*") if each.is_file()):
        found[path.relative_to(folder).as_posix()] = path.read_bytes()
        if path.suffix == ".db":
            with closing(sqlite3.connect(path)) as connection:
                rows = connection.execute("SELECT content FROM files").fetchall()
            found[path.relative_to(folder).as_posix()] = rows
    return found


def test_what_was_saved_is_restored(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed run has left is not part of it, and goes."""
    (tmp_path / "backup.partial" / "artifacts").mkdir(parents=True)
    (tmp_path / "backup.partial" / "artifacts" / "half").write_bytes(b"x")
    assert backup.main("save", str(tmp_path / "backup")) == 0
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path / "new"))

    assert backup.main("restore", str(tmp_path / "backup")) == 0

    assert content(tmp_path / "new") == content(home)
    assert {path.name for path in tmp_path.iterdir()} == {"home", "new", "backup"}


def test_wherever_the_disk_fails_there_is_no_backup(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From any operation on; the next run needs nobody to tidy up."""
    place = tmp_path / "disk"
    place.mkdir()
    disk = FailingDisk(place)
    with disk.failing():
        assert backup.main("save", str(place / "whole")) == 0

    for at in range(1, disk.count + 1):
        with FailingDisk(place, at=at, lasting=True).failing():
            assert backup.main("save", str(place / "backup")) == 1

        error = capsys.readouterr().err
        assert error.startswith(f"writing to {place} failed (")
        assert error.count("\n") == 1
        assert [path.name for path in place.iterdir()] == ["whole"]
    assert disk.count > 1


def test_a_target_that_cannot_be_opened_is_not_a_damaged_backup(home: Path, tmp_path: Path) -> None:
    """The backup is whole, so another day's would not help."""
    assert backup.main("save", str(tmp_path / "backup")) == 0
    (tmp_path / "new").mkdir()

    with pytest.raises(DiskFailed, match=f"writing to {tmp_path} failed .*unable to open"):
        backup._copy_sqlite(tmp_path / "backup" / "mlflow", tmp_path / "new")

    (tmp_path / "damaged").write_text("no database", encoding="utf-8")
    with pytest.raises(SourceMissing, match="use a backup of another day"):
        backup._copy_sqlite(tmp_path / "damaged", tmp_path / "other")


@pytest.mark.parametrize("name", ["mlflow/mlflow.db", "mlflow/artifacts/2/model.onnx"])
def test_a_full_disk_is_one_line(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Whether a database or an artifact fills it."""
    if name.endswith(".db"):
        (home / name).unlink()
        fill(home / name, 2 * MEGABYTE)
    else:
        (home / name).parent.mkdir()
        (home / name).write_bytes(bytes(2 * MEGABYTE))
    with small_disk(tmp_path / "small", MEGABYTE):
        code = backup.main("save", str(tmp_path / "small" / "backup"))
        left = [*(tmp_path / "small").iterdir()]

    error = capsys.readouterr().err
    assert (code, left) == (1, [])
    assert error.startswith(f"writing to {tmp_path / 'small'}")
    assert error.count("\n") == 1


def test_what_could_not_be_restored_leaves_no_half_of_a_home(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full disk and a damaged copy are one line, and the next try finds nothing in its way."""
    saved, new = tmp_path / "backup", tmp_path / "new"
    (home / "mlflow" / "artifacts" / "large").write_bytes(bytes(2 * MEGABYTE))
    assert backup.main("save", str(saved)) == 0
    whole = (saved / "mlflow").read_bytes()

    def restored(folder: Path) -> tuple[int, str]:
        monkeypatch.setenv("SLIPWAY_HOME", str(folder))
        code = backup.main("restore", str(saved))
        return code, capsys.readouterr().err

    with small_disk(tmp_path / "small", MEGABYTE):
        full = restored(tmp_path / "small" / "new")
        left = [path for path in (tmp_path / "small").rglob("*") if path.is_file()]
    (saved / "mlflow").write_bytes(b"no database" * 1000)
    damaged = restored(new)
    (saved / "mlflow").write_bytes(whole)

    assert (full[0], damaged[0], left) == (1, 2, [])
    assert full[1].startswith(f"writing to {tmp_path / 'small'}")
    assert "file is not a database" in damaged[1]
    assert [each[1].count("\n") for each in (full, damaged)] == [1, 1]
    assert restored(new) == (0, "")
    assert content(new) == content(home)
