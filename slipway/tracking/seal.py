"""Puts record, run, bill of materials and signature of a release into both of its logged models.

A version is registered before it is tested, and its record has the verdict. So all of them are
added to the logged model after the decision, before an alias names the version.
"""

import math
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, Field

from slipway.errors import ArtifactChanged
from slipway.sources import model_card
from slipway.system.failpoints import failpoint
from slipway.system.store import manifest, sha256
from slipway.tracking import bill_of_materials, release_record, run_record
from slipway.tracking.location import client_of
from slipway.tracking.logged_files import expected_files
from slipway.tracking.signature import sign
from slipway.tracking.tags import SIGNATURE
from slipway.tracking.verified_copy import CopyPlace, CopyRequest, whole_copy
from slipway.values import (
    AuditInfo,
    EnvironmentName,
    FileEntry,
    GateResult,
    LoggedWrapper,
    ReleaseSummary,
    Value,
)
from slipway.values.release_record import RecordedRelease, RecordedRun, RecordedSource
from slipway.values.signers import SigningKey

_OWN = {
    *(release_record.FILE, release_record.SIGNATURE_FILE),
    *(bill_of_materials.FILE, run_record.FILE),
}


class SealRequest(Value):
    """What to record.

    Attributes:
        place: Where the versions come from.
        environment: Name of that place.
        summary: The release, with its verdict; its report is in its run.
        description: Markdown of the version's page.
        started: Who or what started it, and why.
        tools: Versions of the tools that shape the bytes.
        tested_with: Digests of what it was tested with, by name.
        signing_key: Signs both; None to sign nothing.
        at: When it was decided.
    """

    place: CopyPlace
    environment: EnvironmentName
    summary: ReleaseSummary
    description: str
    started: AuditInfo
    tools: dict[str, str]
    tested_with: dict[str, str]
    signing_key: SigningKey | None = None
    at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))


def seal(request: SealRequest) -> None:
    """Write record, run, bill of materials and signature of a release into both logged models.

    What an interrupted run has written is written again.

    Raises:
        VersionRefused: If a version has what was not released; nothing is written into it.
        ArtifactChanged: If a file is not the one that was built and tested.
    """
    location = request.place.location
    run = run_record.of(request.summary, request.environment, request.description, location)
    for wrapper in request.summary.versions.wrappers:
        _seal(wrapper, request, run)
        failpoint("seal.after-wrapper")


def _seal(wrapper: LoggedWrapper, request: SealRequest, run: RecordedRun) -> None:
    copy = CopyRequest(
        place=request.place,
        name=wrapper.name,
        version=wrapper.version,
        kind=wrapper.kind,
        decided=False,
    )
    with whole_copy(copy) as (folder, found):
        files = tuple(file for file in found if file.path not in _OWN)
        _require_tested(copy, files, request)
        for name in _OWN:
            (folder / name).unlink(missing_ok=True)
        client = client_of(request.place.location)
        failpoint("seal.before-record")
        for document in _documents(folder, files, wrapper, request, run):
            client.log_model_artifact(wrapper.model_id, str(document))
            failpoint("seal.after-file")
        if request.signing_key:
            signed = sign(folder, request.signing_key)
            client.log_model_artifact(wrapper.model_id, str(signed))
            version = str(wrapper.version)
            client.set_model_version_tag(wrapper.name, version, SIGNATURE, sha256(signed))


def _documents(
    folder: Path,
    files: tuple[FileEntry, ...],
    wrapper: LoggedWrapper,
    request: SealRequest,
    run: RecordedRun,
) -> tuple[Path, ...]:
    """Write what is added to a logged model beside its ``files``; the record lists the rest."""
    shown, bill = folder / run_record.FILE, folder / bill_of_materials.FILE
    statement = folder / release_record.FILE
    shown.write_text(run.model_dump_json(indent=1), encoding="utf-8")
    record = _record(wrapper, files, request)
    claims = model_card.claims(request.summary.weights.stored.folder)
    bill.write_bytes(bill_of_materials.document(record, claims, bill_of_materials.installed()))
    listed = manifest(folder, {file.path: file.sha256 for file in files})
    record = record.model_copy(update={"files": listed})
    statement.write_bytes(release_record.statement(record))
    return shown, bill, statement


def _require_tested(copy: CopyRequest, files: tuple[FileEntry, ...], request: SealRequest) -> None:
    """Compare what MLflow keeps with what was built: tags, which may be edited, do not decide."""
    summary, code = request.summary, request.place.wrappers
    found = {file.path: file.sha256 for file in files}
    stored = summary.weights.stored, summary.artifact.stored
    for path, digest in expected_files(copy.kind, *stored, code):
        if found.get(path) != digest:
            raise ArtifactChanged(str(copy), path, digest, found.get(path, "none"))


def _record(
    wrapper: LoggedWrapper, files: tuple[FileEntry, ...], request: SealRequest
) -> RecordedRelease:
    summary, revision = request.summary, request.summary.weights.revision
    return RecordedRelease(
        model=wrapper.name,
        wrapper=wrapper.kind,
        key=summary.versions.key,
        source=RecordedSource(
            repo=revision.source.repo,
            commit=revision.commit,
            digest=revision.digest,
            license=revision.license,
            scan=revision.scan,
        ),
        variant=summary.artifact.variant,
        files=files,
        recipe=summary.entry.recipe.model_dump(mode="json"),
        tools=request.tools,
        tested_with=request.tested_with,
        gates=tuple(map(_finite, summary.gates)),
        verdict=summary.verdict,
        started=request.started,
        at=request.at,
        prefect_run=summary.flow_run_url,
        mlflow_run=summary.versions.run_id,
    )


def _finite(gate: GateResult) -> GateResult:
    """Return a gate without figures that JSON cannot hold; such a gate is inconclusive."""
    limit, observed = gate.limit, gate.observed
    if limit is not None and not math.isfinite(limit):
        limit = None
    if observed and not all(math.isfinite(each) for _, each in observed):
        observed = None
    return gate.model_copy(update={"limit": limit, "observed": observed})
