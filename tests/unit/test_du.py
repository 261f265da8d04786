"""``slipway du`` says what the home holds, and what deleting would free."""

import json
import os
from pathlib import Path

import pytest

from commands.du import usage
from commands.main import run

KB = 1000


def test_each_folder_is_counted_and_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The store can be made again, and MLflow's files cannot; nothing is deleted."""
    for name in ("mlflow/artifacts", "store/weights", "mine"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_bytes(os.urandom(200 * KB))
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))

    assert run(["du", "--json"]) == 0

    document = json.loads(capsys.readouterr().out)
    freed = {each["name"]: each["is_freed"] for each in document["folders"]}
    assert freed == {"mlflow": False, "store": True, "mine": False}
    assert 200 * KB <= document["freed_bytes"] < 300 * KB
    assert 600 * KB <= document["total_bytes"] < 700 * KB
    assert (tmp_path / "store" / "weights" / "file").is_file()

    assert run(["du"]) == 0
    assert "would be freed" in capsys.readouterr().out


def test_a_file_with_several_names_is_counted_where_it_stays(tmp_path: Path) -> None:
    """Deleting one name of it frees nothing."""
    for name in ("mlflow", "copies"):
        (tmp_path / name).mkdir()
    (tmp_path / "mlflow" / "model").write_bytes(os.urandom(200 * KB))
    (tmp_path / "copies" / "model").hardlink_to(tmp_path / "mlflow" / "model")

    sizes = {each.name: each.size_bytes for each in usage(tmp_path)}

    assert sizes["mlflow"] >= 200 * KB
    assert sizes["copies"] < 20 * KB


def test_there_may_be_no_home_yet(tmp_path: Path) -> None:
    """Before the first release."""
    assert usage(tmp_path / "nothing") == ()
