"""The run of a release as a file inside its logged models, so that the signature covers it too.

Anybody with write access edits a run in MLflow. Another registry reads what the run showed from
this file, and compares the report with the digests in it.
"""

import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import ValidationError

from slipway.errors import VersionRefused
from slipway.system.store import manifest
from slipway.tracking import release_record
from slipway.tracking.location import MlflowLocation, connect
from slipway.tracking.model_files import open_run_files
from slipway.tracking.release_record import RELEASE_AGAIN
from slipway.tracking.tags import FIGURES, TABLES
from slipway.values import ReleaseSummary
from slipway.values.release_record import RecordedRun

FILE = "run.json"
#: Raised when a reader of the one before would misread it.
FORMAT = 1

#: Tags of the run that say what the release is, and not who wrote it where.
_TAGS = (FIGURES, TABLES)


def of(
    summary: ReleaseSummary, environment: str, description: str, location: MlflowLocation
) -> RecordedRun:
    """Return what the run of a release shows now.

    Args:
        summary: The release, whose report is written.
        environment: Name of the place where it is released.
        description: Markdown of the version's page.
        location: The MLflow of that place.
    """
    run = connect(location).get_run(summary.versions.run_id)
    report, tags, metrics = open_run_files(run), run.data.tags, run.data.metrics.items()
    with TemporaryDirectory() as folder:
        digests = {path: report.copy(path, Path(folder)) for path in report.sizes()}
        files = manifest(Path(folder), digests)
    revision = summary.weights.revision
    return RecordedRun(
        environment=environment,
        version=summary.versions.onnx.version,
        contract=summary.versions.onnx.contract,
        precision=summary.selection.precision,
        provenance=revision.provenance,
        dated=revision.dated,
        description=description,
        name=run.info.run_name,
        params=run.data.params,
        metrics={name: value for name, value in metrics if math.isfinite(value)},
        tags={name: tags[name] for name in _TAGS if name in tags},
        files=files,
    )


def read(who: str, folder: Path) -> RecordedRun:
    """Return the run that a logged model in ``folder`` names.

    Args:
        who: The version, for errors.
        folder: With the files of the logged model.

    Raises:
        VersionRefused: If there is no such file, or one that cannot be read.
    """
    try:
        document = json.loads((folder / FILE).read_bytes())
        release_record.require_format(who, FILE, document["format"], FORMAT)
        return RecordedRun.model_validate(document)
    except FileNotFoundError as error:
        raise VersionRefused(who, f"it has no {FILE}", RELEASE_AGAIN) from error
    except (ValidationError, ValueError, LookupError, TypeError) as error:
        reason = " ".join(f"its {FILE} cannot be read ({error})".split())[:300]
        raise VersionRefused(who, reason, RELEASE_AGAIN) from error
