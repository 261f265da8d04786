"""``slipway export``: the champion of a real release as an image."""

import json
from pathlib import Path
from typing import Any

import pytest

from commands.main import run
from slipway.values import Release
from tests.support.project import Project

Said = pytest.CaptureFixture[str]


def exported(folder: Path, capsys: Said, *options: str) -> Any:
    """Write an image layout, and return what was printed as JSON."""
    capsys.readouterr()
    assert run(["export", "tiny", *options, "--oci", str(folder), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_champion_is_written_with_its_report(
    released: tuple[Project, Release], tmp_path: Path, capsys: Said
) -> None:
    """The same as by its number; the report is that of the release."""
    champion = exported(tmp_path / "one", capsys)
    numbered = exported(tmp_path / "two", capsys, "--version", "1")

    assert champion["digest"] == numbered["digest"]
    assert champion["tag"] == "1"
    (report,) = (released[0].home / "mlflow").rglob("report.md")
    blobs = (tmp_path / "one" / "blobs" / "sha256").iterdir()
    assert report.read_bytes() in [path.read_bytes() for path in blobs]


def test_what_cannot_be_written_is_refused(
    released: tuple[Project, Release], tmp_path: Path, capsys: Said
) -> None:
    """A folder that exists, and a version that does not."""
    assert run(["export", "tiny", "--oci", str(tmp_path)]) == 2
    assert "exists, and nothing is overwritten; name another folder" in capsys.readouterr().err

    assert run(["export", "tiny", "7", "--oci", str(tmp_path / "image")]) == 2
    assert "version 7 of tiny was not found" in capsys.readouterr().err
    assert [*tmp_path.iterdir()] == []
