"""A release as a folder: both wrappers, its report, and what MLflow knows of it beside them.

It comes from a registry, or from the file of ``bundle_file``, and goes to another registry. It has

- ``onnx/`` and ``transformers/``: the files of both logged models, with record and signature,
- ``run/``: the files of the release's run, with the report,
- ``bundle.json``: the rest.
"""

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from slipway.errors import VersionRefused
from slipway.system.store import manifest
from slipway.tracking import format_1, release_record, signature
from slipway.tracking.location import connect
from slipway.tracking.model_files import ModelFiles, open_run_files
from slipway.tracking.tag_values import ReleaseOrigin
from slipway.tracking.tags import CANDIDATE, FIGURES, NOTE, TABLES
from slipway.tracking.verified_copy import CopyPlace, CopyRequest, whole_copy
from slipway.tracking.write_run import below
from slipway.values import (
    EnvironmentName,
    Record,
    Release,
    Value,
    VariantPrecision,
    WrapperKind,
    registered_name,
)
from slipway.values.release_record import RecordedRelease

FILE, RUN = "bundle.json", "run"
#: Of ``bundle.json``; raised when a reader of the one before would misread it.
FORMAT = 1

#: Tags of the run that say what the release is, and not who wrote it where.
_RUN_TAGS = (FIGURES, NOTE, TABLES)
_AGAIN = "make the bundle again"


class BundledRun(Value):
    """The run of a release, without its files.

    Attributes:
        name: Its name.
        params: By name; likewise its metrics, the finite ones, and some of its tags.
    """

    name: str
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]


class BundleContent(Record):
    """What ``bundle.json`` says.

    Attributes:
        environment: Where the release comes from.
        release: As it is recorded there, with the versions there.
        precision: Type of the artifact's weights.
        origin: What it is made of.
        description: Markdown of the version's page.
    """

    environment: EnvironmentName
    release: Release
    precision: VariantPrecision
    origin: ReleaseOrigin
    description: str
    run: BundledRun


class Bundle(Value):
    """A bundle whose files are those of its records.

    Attributes:
        record: Of the ONNX wrapper.
    """

    folder: Path
    content: BundleContent
    record: RecordedRelease

    @property
    def comes_from(self) -> str:
        """Which version of which environment it is, such as ``dev v3``."""
        return f"{self.content.environment} v{self.content.release.versions.onnx.version}"


def write(release: Release, place: CopyPlace, environment: str, folder: Path) -> Bundle:
    """Return the bundle of a release, written into an empty folder.

    Args:
        release: As the registry has it.
        place: Where its versions come from, and who must have signed them.
        environment: Name of that place.
        folder: Where the bundle goes.

    Raises:
        SlipwayError: As ``verified_copy.fetch`` does; also if a wrapper has no record of this
            release, or one that says that it was not promoted.
    """
    client = connect(place.location)
    for wrapper in release.versions.wrappers:
        request = CopyRequest(
            place=place, name=wrapper.name, version=wrapper.version, kind=wrapper.kind
        )
        with whole_copy(request) as (copied, _):
            shutil.move(copied, folder / wrapper.kind)
    serving = release.versions.onnx
    version = client.get_model_version(serving.name, str(serving.version))
    run = client.get_run(release.versions.run_id)
    _copy_all(open_run_files(run), folder / RUN)
    content = BundleContent(
        environment=environment,
        release=release,
        precision=_precision(client, run, release),
        origin=ReleaseOrigin.from_tags(version.tags),
        description=version.description or "",
        run=_bundled(run),
    )
    (folder / FILE).write_text(content.model_dump_json(indent=1), encoding="utf-8")
    return read(folder, place.public_key)


def read(folder: Path, public_key: Path | None) -> Bundle:
    """Return the bundle in a folder, once every byte of both wrappers was read.

    Args:
        folder: Where it is.
        public_key: File of the key that must have signed both wrappers; None if none must.

    Raises:
        VersionRefused: If a file differs from its wrapper's record, is missing or was added, if the
            record is of another release or says that it was not promoted, or if the signature is
            not that of the key.
    """
    content = _content(folder)
    record = _record(folder, "onnx", content.release, public_key)
    _record(folder, "transformers", content.release, public_key)
    return Bundle(folder=folder, content=content, record=record)


def _content(folder: Path) -> BundleContent:
    try:
        document = json.loads((folder / FILE).read_bytes())
        release_record.require_format("the bundle", FILE, document["format"], FORMAT)
        return BundleContent.model_validate(document)
    except (OSError, ValidationError, ValueError, LookupError, TypeError) as error:
        reason = " ".join(f"its {FILE} cannot be read ({error})".split())[:300]
        raise VersionRefused("the bundle", reason, _AGAIN) from error


def _record(
    folder: Path, kind: WrapperKind, release: Release, public_key: Path | None
) -> RecordedRelease:
    """Return the record of one wrapper, if its files are those of just this release."""
    name, own = registered_name(release.versions.model, kind), folder / kind
    who, files = f"the bundled {name}", manifest(own)
    paths = {file.path for file in files}
    if release_record.FILE not in paths:
        raise VersionRefused(who, "it has no record of its release", _AGAIN)
    record = release_record.read(who, (own / release_record.FILE).read_bytes())
    fault = release_record.fault(record, name, release.versions.key, files)
    recorded = record.source.repo, record.source.commit, record.variant
    if recorded != (release.repo, release.commit, release.variant):
        fault = fault or "its record names another source"
    if public_key and release_record.SIGNATURE_FILE not in paths:
        fault = fault or "it is not signed"
    if fault:
        raise VersionRefused(who, fault, _AGAIN)
    if public_key:
        signature.require(who, own, public_key)
    return record


def _copy_all(files: ModelFiles, folder: Path) -> None:
    folder.mkdir()
    for path in sorted(files.sizes()):
        files.copy(path, folder)


def _precision(client: Any, run: Any, release: Release) -> Any:
    """Return the precision that the run of the released candidate says."""
    for each in below(client, run):
        is_released = format_1.upgrade(each.data.tags).get(CANDIDATE) == release.variant
        if is_released and (precision := each.data.params.get("precision")):
            return precision
    who = f"{release.versions.model} v{release.versions.onnx.version}"
    reason = f"no run below {run.info.run_id} says the precision of {release.variant}"
    raise VersionRefused(who, reason, "restore the run of that candidate in MLflow")


def _bundled(run: Any) -> BundledRun:
    tags: Mapping[str, str] = run.data.tags
    metrics = run.data.metrics.items()
    return BundledRun(
        name=run.info.run_name,
        params=dict(run.data.params),
        metrics={name: value for name, value in metrics if math.isfinite(value)},
        tags={name: tags[name] for name in _RUN_TAGS if name in tags},
    )
