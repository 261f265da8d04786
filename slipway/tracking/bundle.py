"""A release as a folder: both wrappers and the report of its run.

It comes from a registry, or from the file of ``bundle_file``, and goes to another registry. It has

- ``onnx/`` and ``transformers/``: the files of both logged models, with record and signature,
- ``run/``: the files of the release's run, with the report.

What the other registry needs beside them is in ``run.json`` of the ONNX wrapper, with the digests
of the files in ``run/``. So the signatures of the wrappers cover all of a bundle.
"""

import shutil
from pathlib import Path
from typing import Any

from slipway.errors import VersionRefused
from slipway.system.store import manifest
from slipway.tracking import known_wrappers, release_record, run_record, signature
from slipway.tracking.bundle_file import SUMS
from slipway.tracking.location import connect
from slipway.tracking.model_files import open_run_files
from slipway.tracking.release_record import RELEASE_AGAIN
from slipway.tracking.tag_values import ReleaseOrigin
from slipway.tracking.verified_copy import CopyPlace, CopyRequest, payload_digest, whole_copy
from slipway.values import (
    RegisteredVersions,
    Release,
    Value,
    Verdict,
    WrapperKind,
    registered_name,
)
from slipway.values.release_record import RecordedRelease, RecordedRun
from slipway.values.signers import Verifier

RUN = "run"

_AGAIN = "make the bundle again"


class Bundle(Value):
    """A bundle whose files are those of its records.

    Attributes:
        record: Of the ONNX wrapper.
        run: Of the release.
        comes_from: Which version of which environment it is, such as ``dev v3``; if it was a file,
            the version that was released.
    """

    folder: Path
    record: RecordedRelease
    run: RecordedRun
    comes_from: str

    @property
    def origin(self) -> ReleaseOrigin:
        """What the release is made of."""
        record, files = self.record, {file.path: file.sha256 for file in self.record.files}
        return ReleaseOrigin(
            repo=record.source.repo,
            commit=record.source.commit,
            variant=record.variant,
            license=record.source.license or "",
            flow_run=record.prefect_run or "",
            digest=payload_digest("onnx", record.files),
            code=files.get(known_wrappers.FILE, ""),
        )

    def release(self, versions: RegisteredVersions, verdict: Verdict) -> Release:
        """Return the release as it ends in a registry, where it has ``versions``."""
        return Release(
            versions=versions,
            repo=self.record.source.repo,
            commit=self.record.source.commit,
            variant=self.record.variant,
            verdict=verdict,
            promotion=None,
            provenance=self.run.provenance,
            dated=self.run.dated,
        )


def write(release: Release, place: CopyPlace, environment: str, folder: Path) -> Bundle:
    """Return the bundle of a release, written into an empty folder.

    Args:
        release: As the registry has it.
        place: Where its versions come from, and who must have signed them.
        environment: Name of that place.
        folder: Where the bundle goes.

    Raises:
        SlipwayError: As ``verified_copy.fetch`` does, and as ``read``; also if the wrappers have
            the records of another release.
    """
    versions, client = release.versions, connect(place.location)
    for wrapper in versions.wrappers:
        request = CopyRequest(
            place=place, name=wrapper.name, version=wrapper.version, kind=wrapper.kind
        )
        with whole_copy(request) as (copied, _):
            shutil.move(copied, folder / wrapper.kind)
    who = f"{versions.model} v{versions.onnx.version}"
    _copy_run(who, client.get_run(versions.run_id), folder)
    # What is wrong now is wrong in MLflow, and would be in another bundle.
    bundle = read(folder, place.public_key, RELEASE_AGAIN)
    if (bundle.record.model, bundle.record.key) != (versions.model, versions.key):
        raise VersionRefused(who, "its record is one of another release", RELEASE_AGAIN)
    comes_from = f"{environment} v{versions.onnx.version}"
    return bundle.model_copy(update={"comes_from": comes_from})


def read(folder: Path, public_key: Verifier | None, remedy: str = _AGAIN) -> Bundle:
    """Return the bundle in a folder, once every byte of it was read.

    Args:
        folder: Where it is.
        public_key: Who must have signed both wrappers; None if nobody must.
        remedy: What a person can do about one that is refused.

    Raises:
        VersionRefused: If a file differs from what is recorded, is missing or was added, if the
            wrappers are of two releases or of one that was not promoted, or if the signature is not
            that of the key.
    """
    known = {"onnx", "transformers", RUN, SUMS}
    for path in sorted(folder.iterdir()):
        if path.name not in known:
            raise VersionRefused("the bundle", f"{path.name} is not part of a bundle", remedy)
    record = _record(folder, "onnx", public_key, remedy)
    reference = _record(folder, "transformers", public_key, remedy)
    pair = registered_name(record.model, "transformers"), record.key
    if (reference.model, reference.key) != pair:
        raise VersionRefused("the bundle", "its wrappers are of two releases", remedy)
    run = run_record.read("the bundle", folder / "onnx")
    _require_recorded(run, folder / RUN, remedy)
    comes_from = f"{run.environment} v{run.version}"
    return Bundle(folder=folder, record=record, run=run, comes_from=comes_from)


def _record(
    folder: Path, kind: WrapperKind, public_key: Verifier | None, remedy: str
) -> RecordedRelease:
    """Return the record of one wrapper, if its files are those of just this record."""
    who, own = f"the bundled {kind} wrapper", folder / kind
    files = manifest(own)
    paths = {file.path for file in files}
    if release_record.FILE not in paths:
        raise VersionRefused(who, "it has no record of its release", remedy)
    record = release_record.read(who, (own / release_record.FILE).read_bytes())
    fault = release_record.fault(record, record.model, record.key, files)
    if record.wrapper != kind:
        fault = fault or f"its record is one of the {record.wrapper} wrapper"
    if public_key and release_record.SIGNATURE_FILE not in paths:
        fault = fault or "it is not signed"
    if fault:
        raise VersionRefused(who, fault, remedy)
    if public_key:
        signature.require(who, own, public_key)
    return record


def _copy_run(who: str, run: Any, folder: Path) -> None:
    """Copy the recorded files of a run; ``read`` finds those that are missing or differ."""
    files = open_run_files(run)
    there = files.sizes()
    (folder / RUN).mkdir()
    for file in run_record.read(who, folder / "onnx").files:
        if file.path in there:
            files.copy(file.path, folder / RUN)


def _require_recorded(run: RecordedRun, folder: Path, remedy: str) -> None:
    found = {(file.path, file.sha256) for file in manifest(folder)}
    recorded = {(file.path, file.sha256) for file in run.files}
    if different := sorted(found ^ recorded):
        reason = f"{RUN}/{different[0][0]} is not as its {run_record.FILE} says"
        raise VersionRefused("the bundle", reason, remedy)
