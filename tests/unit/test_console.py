"""What a person is told about an error that is not ours."""

from pathlib import Path

import pytest

from commands import console
from slipway.errors import CatalogueInvalid, StepCrashed


def test_a_refused_sign_in_is_no_defect() -> None:
    """The libraries say it in their own words; ours name the variable."""
    told = console.explained(RuntimeError("request to http://127.0.0.1:5000/x failed: code 401"))

    assert isinstance(told, CatalogueInvalid)
    assert "SLIPWAY_AUTH: a server refuses it" in str(told)


def test_a_defect_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line names the file."""
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))

    told = console.explained(ValueError("version 401 is odd"))

    assert isinstance(told, StepCrashed)
    assert "version 401 is odd" in Path(told.log).read_text(encoding="utf-8")
