"""A folder on this machine as the source of a model."""

import re
import shutil
from pathlib import Path

from slipway import keys
from slipway.errors import SourceMissing
from slipway.system.store import manifest
from slipway.validation import folders
from slipway.values import FolderSource, Revision


def resolve(source: FolderSource) -> Revision:
    """Return the folder's content as a revision.

    Raises:
        SourceMissing: If there is no such folder.
        SourceRefused: If a file in it breaks a rule.
    """
    if not source.path.is_dir():
        raise SourceMissing(f"folder {source.path}", "correct the entry's source.path")
    folders.inspect_checkpoint(source.path)
    files = manifest(source.path)
    digest = keys.manifest_digest(files)
    return Revision(
        source=source,
        commit=digest[:40],
        digest=digest,
        paths=tuple(file.path for file in files),
        size_bytes=sum(file.size_bytes for file in files),
        license=declared_license(source.path),
    )


def fetch(source: FolderSource, revision: Revision, into: Path) -> None:
    """Copy the folder's files into ``into``.

    Raises:
        SourceMissing: If they differ from those of ``revision``.
    """
    shutil.copytree(source.path, into, dirs_exist_ok=True)
    if keys.manifest_digest(manifest(into))[:40] != revision.commit:
        what = f"folder {source.path} as it was resolved"
        raise SourceMissing(what, "its files changed meanwhile; run the release again")


def declared_license(folder: Path) -> str | None:
    """Return the license that the model card's header declares, in lower case."""
    card = folder / "README.md"
    if not card.is_file():
        return None
    text = card.read_text(encoding="utf-8", errors="replace")
    header = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    pattern = r"""^license:[ \t]*["']?([\w.+-]+)"""
    found = re.search(pattern, header[1], re.MULTILINE) if header else None
    return found[1].lower() if found else None
