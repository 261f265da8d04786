"""An OCI image layout in a folder: blobs by digest, and an index of images and their referrers.

The same files give the same bytes: nothing in it has a time, an owner or an order of its own.
Specification: https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md
"""

import hashlib
import json
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from slipway.system import disk
from slipway.system.store import flush, sha256
from slipway.values import Value

_OCI = "application/vnd.oci"
_INDEX, _MANIFEST = f"{_OCI}.image.index.v1+json", f"{_OCI}.image.manifest.v1+json"
_CONFIG, _LAYER = f"{_OCI}.image.config.v1+json", f"{_OCI}.image.layer.v1.tar"
_EMPTY = f"{_OCI}.empty.v1+json"
_ANNOTATION = "org.opencontainers.image"

#: What stands for a blob elsewhere: its media type, digest and size.
Descriptor = dict[str, Any]


class Referrer(Value):
    """A document about an image."""

    name: str
    media_type: str
    content: bytes


class Image(Value):
    """An image of files alone, for containers that mount it.

    Attributes:
        name: What people call it.
        tag: Its reference in the index.
        files: Folder with its files.
        below: Where in the image they are.
        referrers: Documents about it.
    """

    name: str
    tag: str
    files: Path
    below: str
    referrers: tuple[Referrer, ...]


def write(image: Image, folder: Path) -> str:
    """Write a layout with one image into a new folder, whole or not at all.

    Returns:
        The digest of the image's manifest, as ``sha256:`` and 64 hex digits.

    Raises:
        DiskFailed: If the disk is full or broken.
    """
    with disk.writing(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".layout-") as room:
            staging = Path(room) / "layout"
            digest = _Layout(staging).write(image)
            staging.rename(folder)
    return digest


class _Layout:
    def __init__(self, folder: Path) -> None:
        self._folder, self._blobs = folder, folder / "blobs" / "sha256"
        self._blobs.mkdir(parents=True)

    def write(self, image: Image) -> str:
        found = self._image(image)
        tagged = found | {"annotations": {f"{_ANNOTATION}.ref.name": image.tag}}
        referrers = [self._referrer(each, found) for each in image.referrers]
        index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [tagged, *referrers]}
        self._write(self._folder / "index.json", _json(index))
        self._write(self._folder / "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        return str(found["digest"])

    def _image(self, image: Image) -> Descriptor:
        layer = self._layer(image)
        config = {
            "architecture": "amd64",  # it must have one, and there is nothing to execute
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        }
        annotations = {f"{_ANNOTATION}.title": image.name, f"{_ANNOTATION}.version": image.tag}
        return self._manifest(
            config=self._blob(_CONFIG, _json(config)), layers=[layer], annotations=annotations
        )

    def _referrer(self, referrer: Referrer, subject: Descriptor) -> Descriptor:
        layer = self._blob(referrer.media_type, referrer.content)
        layer["annotations"] = {f"{_ANNOTATION}.title": referrer.name}
        made = self._manifest(
            artifactType=referrer.media_type,
            config=self._blob(_EMPTY, b"{}"),
            layers=[layer],
            subject=subject,
        )
        return made | {"artifactType": referrer.media_type}

    def _manifest(self, **fields: Any) -> Descriptor:
        return self._blob(_MANIFEST, _json({"schemaVersion": 2, "mediaType": _MANIFEST, **fields}))

    def _layer(self, image: Image) -> Descriptor:
        packed = self._blobs / "packed"
        with tarfile.open(packed, "w") as archive:  # which adds what a folder has by name
            archive.add(image.files, image.below, filter=_without_origin)
        flush(packed)
        digest, size_bytes = sha256(packed), packed.stat().st_size
        packed.rename(self._blobs / digest)
        return _descriptor(_LAYER, digest, size_bytes)

    def _blob(self, media_type: str, content: bytes) -> Descriptor:
        digest = hashlib.sha256(content).hexdigest()
        self._write(self._blobs / digest, content)
        return _descriptor(media_type, digest, len(content))

    def _write(self, file: Path, content: bytes) -> None:
        file.write_bytes(content)
        flush(file)


def _descriptor(media_type: str, digest: str, size_bytes: int) -> Descriptor:
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": size_bytes}


def _without_origin(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Forget who made a file, and when; everybody may read it."""
    member.mode = 0o755 if member.isdir() else 0o644
    member.mtime = member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _json(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
