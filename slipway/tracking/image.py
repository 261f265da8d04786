"""A registered version as an OCI image: its files below ``/models``, where KServe looks for them.

Only what is exactly as released becomes one: a version is verified as it is before it is loaded,
and every file is compared with its record.
"""

from hashlib import sha256
from pathlib import Path

from slipway.errors import VersionRefused
from slipway.system import oci_layout
from slipway.system.oci_layout import Image, Referrer
from slipway.tracking import bill_of_materials, release_record, run_record
from slipway.tracking.release_record import RELEASE_AGAIN
from slipway.tracking.verified_copy import CopyRequest, whole_copy
from slipway.tracking.write_run import REPORT
from slipway.values import FileEntry, Value

#: Documents inside a logged model that are also about it, with their media types.
_DOCUMENTS = {
    bill_of_materials.FILE: "application/vnd.cyclonedx+json",
    release_record.FILE: "application/vnd.in-toto+json",
}


class ExportedImage(Value):
    """An image layout that was written.

    Attributes:
        digest: Of the image, as registries have it.
        size_bytes: Of the files in it.
    """

    folder: Path
    tag: str
    digest: str
    files: int
    size_bytes: int


def export(request: CopyRequest, report: str, folder: Path) -> ExportedImage:
    """Write a version as an image layout, with documents that refer to it.

    Args:
        request: The version.
        report: Of its release, Markdown.
        folder: A new folder.

    Raises:
        VersionRefused: If the version has no record, or if it or the report is not as recorded.
        SlipwayError: As ``verified_copy.fetch`` does.
        DiskFailed: If the disk is full or broken; there is no folder then.
    """
    with whole_copy(request) as (copied, files):
        _require_recorded(request, copied, files)
        _require_report(request, copied, report)
        documents = [
            Referrer(name=name, media_type=media_type, content=(copied / name).read_bytes())
            for name, media_type in _DOCUMENTS.items()
        ]
        written = Referrer(name=REPORT, media_type="text/markdown", content=report.encode())
        image = Image(
            name=request.name,
            tag=str(request.version),
            files=copied,
            below="models",
            referrers=(written, *documents),
        )
        digest = oci_layout.write(image, folder)
    return ExportedImage(
        folder=folder,
        tag=image.tag,
        digest=digest,
        files=len(files),
        size_bytes=sum(file.size_bytes for file in files),
    )


def _require_recorded(request: CopyRequest, copied: Path, files: tuple[FileEntry, ...]) -> None:
    if missing := sorted(_DOCUMENTS.keys() - {file.path for file in files}):
        raise VersionRefused(str(request), f"it has no {missing[-1]}", RELEASE_AGAIN)
    content = (copied / release_record.FILE).read_bytes()
    record = release_record.read(str(request), content)
    if fault := release_record.fault(record, request.name, record.key, files):
        raise VersionRefused(str(request), fault, RELEASE_AGAIN)


def _require_report(request: CopyRequest, copied: Path, report: str) -> None:
    recorded = {file.path: file.sha256 for file in run_record.read(str(request), copied).files}
    if recorded.get(REPORT) != sha256(report.encode()).hexdigest():
        raise VersionRefused(
            str(request), f"the {REPORT} of its run is not as recorded", RELEASE_AGAIN
        )
