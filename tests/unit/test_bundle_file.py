"""The file of a bundle is there as a whole or not at all."""

from pathlib import Path

import pytest

from slipway.errors import DiskFailed
from slipway.tracking.bundle_file import pack
from tests.support.failing_disk import FailingDisk


def test_wherever_the_disk_of_the_file_fails_nothing_is_left_there(tmp_path: Path) -> None:
    """The error names that disk, and not the one that the files come from."""
    files, place = tmp_path / "files", tmp_path / "disk"
    for folder in (files, place):
        folder.mkdir()
    (files / "model.onnx").write_bytes(bytes(1000))
    disk = FailingDisk(place)
    with disk.failing():
        pack(files, place / "tiny.bundle")
    whole = (place / "tiny.bundle").read_bytes()

    for at in range(1, disk.count + 1):
        with (
            FailingDisk(place, at=at).failing(),
            pytest.raises(DiskFailed, match=rf"^writing to {place} failed \("),
        ):
            pack(files, place / "tiny.bundle")

        assert [path.name for path in place.iterdir()] == ["tiny.bundle"]
        assert (place / "tiny.bundle").read_bytes() == whole
    assert disk.count > 2
