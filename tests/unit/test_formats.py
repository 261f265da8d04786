"""Files of other versions of Slipway: every format up to today is read, later ones refused."""

import json
from pathlib import Path

import pytest

from slipway.errors import SourceMissing
from slipway.redeploy import watch_record
from slipway.redeploy.switch_watch import WatchedSwitch
from slipway.serving.protocol import Pointer, read_pointer
from slipway.settings import PROJECT

RECORDED = PROJECT / "tests" / "support" / "recorded"


def written(folder: Path, name: str, source: str, **changes: object) -> Path:
    """Write a recorded file into a folder, with some fields changed."""
    document = json.loads((RECORDED / source).read_bytes())
    (folder / name).write_text(json.dumps(document | changes), encoding="utf-8")
    return folder / name


@pytest.mark.parametrize("source", ["pointer-0.json", "pointer-1.json"])
def test_a_pointer_of_every_format_names_its_version(tmp_path: Path, source: str) -> None:
    """Also one that a person wrote, or that is from before formats were numbered."""
    pointer = read_pointer(written(tmp_path, "pointer.json", source))

    assert (pointer.model, pointer.version, pointer.format) == ("tiny", 3, 1)


def test_what_is_written_today_is_the_recorded_format() -> None:
    """What changes the file changes the number, and records another one."""
    recorded = json.loads((RECORDED / "pointer-1.json").read_bytes())
    watched = json.loads((RECORDED / "watch-1.json").read_bytes())

    assert Pointer.model_validate(recorded).model_dump(mode="json") == recorded
    assert WatchedSwitch.model_validate(watched).model_dump(mode="json") == watched


def test_a_pointer_of_a_later_format_is_refused(tmp_path: Path) -> None:
    """A field that this version does not know may change which version is meant."""
    with pytest.raises(SourceMissing):
        read_pointer(written(tmp_path, "pointer.json", "pointer-1.json", format=2))


def test_a_watch_of_every_format_continues_after_an_update(tmp_path: Path) -> None:
    """One of a later format is not judged by figures whose meaning is not known."""
    written(tmp_path, "watch.json", "watch-1.json")
    found = watch_record.pending(tmp_path)
    written(tmp_path, "watch.json", "watch-1.json", format=2)

    assert found is not None
    assert (found.model, found.version, found.before) == ("tiny", 3, 2)
    assert watch_record.pending(tmp_path) is None
