"""What is known of a registered version: its files, its record, and who signed it."""

from typing import Literal

from slipway.errors import ArtifactChanged, VersionRefused
from slipway.tracking import release_record, signature
from slipway.tracking.verified_copy import CopyRequest, whole_copy
from slipway.values import Value, WrapperKind
from slipway.values.release_record import RecordedRelease


class Verification(Value):
    """What was checked of one registered version.

    Attributes:
        name: Name of the registered model.
        fault: Why the version is not loaded; None if everything that was checked holds.
        files: How many files were read; 0 if there is a fault, as of the fields that follow.
        record: The record inside it; None if it has none.
        signature: Whether it is signed, and whether a key was there to check that with.
        signed_by: Fingerprint of the key that has signed it, or who did so without one.
    """

    name: str
    version: int
    wrapper: WrapperKind
    fault: str | None = None
    files: int = 0
    size_bytes: int = 0
    record: RecordedRelease | None = None
    signature: Literal["valid", "not checked", "none"] = "none"
    signed_by: str | None = None


def examine(request: CopyRequest) -> Verification:
    """Return what is known of a version, once every byte that MLflow keeps of it was read.

    Raises:
        SlipwayError: As ``verified_copy.fetch`` does, but for faults of the version.
    """
    found = Verification(name=request.name, version=request.version, wrapper=request.kind)
    try:
        with whole_copy(request) as (folder, files):
            paths = {file.path for file in files}
            record = None
            if release_record.FILE in paths:
                content = (folder / release_record.FILE).read_bytes()
                record = release_record.read(str(request), content)
    except (ArtifactChanged, VersionRefused) as error:
        return found.model_copy(update={"fault": error.reason})
    key = request.public_key
    signed = "valid" if key else "not checked"
    return found.model_copy(
        update={
            "files": len(files),
            "size_bytes": sum(file.size_bytes for file in files),
            "record": record,
            "signature": signed if release_record.SIGNATURE_FILE in paths else "none",
            "signed_by": signature.name_of(key) if key else None,
        }
    )
