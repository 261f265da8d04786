"""A released version as an OCI image: read with the specification alone, and twice the same."""

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from slipway.errors import ArtifactChanged, DiskFailed, VersionRefused
from slipway.system.store import manifest
from slipway.tracking import bill_of_materials, image, release_record
from slipway.tracking.verified_copy import CopyRequest
from slipway.values import Rejected, ReleaseSummary
from tests.support.failing_disk import leave_free, small_disk
from tests.support.fake_registry import FakeRegistry

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
REPORT = "# Report"  # as ``FakeRegistry.sealed`` has it


@pytest.fixture
def sealed(fake_registry: FakeRegistry) -> ReleaseSummary:
    """Return what was decided about version 1, whose record is written."""
    return fake_registry.sealed("one")


def export(model: FakeRegistry, folder: Path, report: str = REPORT) -> image.ExportedImage:
    """Write version 1 as an image layout."""
    request = CopyRequest(place=model.registry.copies, name=model.model, version=1)
    return image.export(request, report, folder)


def blob(layout: Path, descriptor: dict[str, Any]) -> bytes:
    """Return what a descriptor stands for, compared with its digest and its size."""
    algorithm, digest = descriptor["digest"].split(":")
    content = (layout / "blobs" / algorithm / digest).read_bytes()
    assert hashlib.new(algorithm, content).hexdigest() == digest
    assert len(content) == descriptor["size"]
    return content


def listed(layout: Path) -> list[dict[str, Any]]:
    """Return what the index of a layout lists."""
    assert json.loads((layout / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((layout / "index.json").read_bytes())
    assert (index["schemaVersion"], len(index["manifests"])) == (2, 4)
    return list(index["manifests"])


def test_the_layer_of_the_image_has_every_file_below_models(
    fake_registry: FakeRegistry, sealed: ReleaseSummary, tmp_path: Path
) -> None:
    """As MLflow keeps it, signature and record included, and without an owner or a time."""
    written = export(fake_registry, tmp_path / "image")

    tagged = listed(written.folder)[0]
    assert (tagged["mediaType"], tagged["digest"]) == (MANIFEST, written.digest)
    assert tagged["annotations"] == {"org.opencontainers.image.ref.name": "1"}
    found = json.loads(blob(written.folder, tagged))
    config = json.loads(blob(written.folder, found["config"]))
    (layer,) = found["layers"]
    assert config["rootfs"] == {"type": "layers", "diff_ids": [layer["digest"]]}
    with tarfile.open(fileobj=io.BytesIO(blob(written.folder, layer))) as archive:
        archive.extractall(tmp_path / "container", filter="data")
        members = archive.getmembers()
    kept = manifest(fake_registry.file(sealed.versions.onnx, ""))
    assert manifest(tmp_path / "container" / "models") == kept
    assert {(each.uid, each.gid, each.mtime, each.uname) for each in members} == {(0, 0, 0, "")}
    assert {each.mode for each in members} == {0o644, 0o755}
    assert (written.files, written.size_bytes) == (len(kept), sum(f.size_bytes for f in kept))


def test_documents_refer_to_the_image(
    fake_registry: FakeRegistry, sealed: ReleaseSummary, tmp_path: Path
) -> None:
    """Report, bill of materials and record: whoever has the image can ask for them."""
    layout = export(fake_registry, tmp_path / "image").folder

    tagged, *referrers = listed(layout)
    documents = {}
    for each in referrers:
        found = json.loads(blob(layout, each))
        (layer,) = found["layers"]
        subject = {name: tagged[name] for name in ("mediaType", "digest", "size")}
        assert found["subject"] == subject
        assert blob(layout, found["config"]) == b"{}"
        assert found["artifactType"] == each["artifactType"] == layer["mediaType"]
        documents[layer["annotations"]["org.opencontainers.image.title"]] = blob(layout, layer)
    inside = (bill_of_materials.FILE, release_record.FILE)
    kept = {path: fake_registry.file(sealed.versions.onnx, path).read_bytes() for path in inside}
    assert documents == {"report.md": REPORT.encode()} | kept


@pytest.mark.usefixtures("sealed")
def test_a_version_gives_the_same_layout_twice(fake_registry: FakeRegistry, tmp_path: Path) -> None:
    """To the byte, whenever and wherever it is written."""
    export(fake_registry, tmp_path / "one")
    export(fake_registry, tmp_path / "elsewhere" / "two")

    assert manifest(tmp_path / "one") == manifest(tmp_path / "elsewhere" / "two")


@pytest.mark.parametrize("path", ["artifacts/model/model.onnx", bill_of_materials.FILE])
def test_a_changed_version_is_no_image(
    fake_registry: FakeRegistry, sealed: ReleaseSummary, tmp_path: Path, path: str
) -> None:
    """Nor is one with a file that no server would load: the record has it too."""
    file = fake_registry.file(sealed.versions.onnx, path)
    file.write_bytes(file.read_bytes() + b"\n")

    with pytest.raises((ArtifactChanged, VersionRefused), match=path.partition("/")[0]):
        export(fake_registry, tmp_path / "image")

    assert [*tmp_path.glob("*image*")] == []


@pytest.mark.usefixtures("sealed")
def test_a_report_that_somebody_changed_is_no_part_of_an_image(
    fake_registry: FakeRegistry, tmp_path: Path
) -> None:
    """Its run can be edited in MLflow; its digest in the version cannot."""
    with pytest.raises(VersionRefused, match=r"the report\.md of its run is not as recorded"):
        export(fake_registry, tmp_path / "image", report=f"{REPORT}: better than it was")

    assert [*tmp_path.glob("*image*")] == []


def test_a_version_without_a_record_that_says_promoted_is_no_image(
    fake_registry: FakeRegistry, tmp_path: Path
) -> None:
    """It was released by an earlier Slipway, or it failed its gates."""
    fake_registry.register("one")
    with pytest.raises(VersionRefused, match=f"it has no {release_record.FILE}; release the model"):
        export(fake_registry, tmp_path / "image")

    fake_registry.sealed("one", verdict=Rejected(reasons=("too slow",)))
    with pytest.raises(VersionRefused, match="its record says rejected: too slow"):
        export(fake_registry, tmp_path / "image")


@pytest.mark.usefixtures("sealed")
def test_a_full_disk_leaves_no_layout(fake_registry: FakeRegistry, tmp_path: Path) -> None:
    """And the same works once space is freed."""
    with small_disk(tmp_path / "small", 1 << 20):
        ballast = leave_free(tmp_path / "small", 8192)
        with pytest.raises(DiskFailed, match="No space left on device"):
            export(fake_registry, tmp_path / "small" / "image")
        assert [*(tmp_path / "small").iterdir()] == [ballast]
        ballast.unlink()
        export(fake_registry, tmp_path / "small" / "image")


@pytest.mark.usefixtures("sealed")
def test_another_tool_reads_the_layout(fake_registry: FakeRegistry, tmp_path: Path) -> None:
    """Skopeo, of the people who make Podman."""
    if not (skopeo := shutil.which("skopeo")):
        pytest.skip("skopeo is not installed: apt-get install skopeo")
    written = export(fake_registry, tmp_path / "image")

    command = [skopeo, "inspect", f"oci:{written.folder}:{written.tag}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["Digest"] == written.digest
    assert len(found["Layers"]) == 1
