"""``slipway export``: a released version as a file format of other tools."""

from pathlib import Path

from commands import console
from commands.options import VersionNumber, chosen_version
from slipway import catalogue
from slipway.errors import SourceRefused
from slipway.settings import Settings
from slipway.tracking import image, read_run, write_run
from slipway.tracking.location import mlflow_location
from slipway.tracking.verified_copy import CopyPlace, CopyRequest


def export(
    model: str, version: VersionNumber | None = None, *, oci: Path, json: bool = False
) -> int:
    """Write a version as an OCI image layout, with its files below /models, as KServe reads it.

    Report, bill of materials and release record are referrers of the image. The version is verified
    first; the same version always gives the same digest.

    Args:
        model: Name of an entry in catalogue.toml.
        version: A version of it. Default: the champion.
        oci: A new folder for the layout.
        json: Print the result as JSON.
    """
    if oci.exists():
        raise SourceRefused(str(oci), "exists, and nothing is overwritten", "name another folder")
    settings = Settings()
    catalogue.find(settings.catalogue, model)
    number, where = chosen_version(model, version, settings), mlflow_location(settings)
    report = read_run.artifact(read_run.run_of(model, number, where), write_run.REPORT, where)
    request = CopyRequest(place=CopyPlace.of(settings), name=model, version=number)
    written = image.export(request, report, oci.absolute())
    if json:
        console.show(written.model_dump(mode="json"))
    else:
        _show(f"{model} v{number}", written)
    return 0


def _show(title: str, written: image.ExportedImage) -> None:
    console.facts(
        f"{title} as an OCI image",
        {
            "layout": f"{written.folder}, tag {written.tag}",
            "digest": written.digest,
            "files": f"{written.files}, {console.megabytes(written.size_bytes)}, below /models",
        },
    )
