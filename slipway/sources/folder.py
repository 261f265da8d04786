"""A folder on this machine as the source of a model."""

import shutil
from pathlib import Path

from slipway import keys
from slipway.errors import SourceMissing
from slipway.sources import model_card
from slipway.sources.auto_map import drop_auto_map
from slipway.system.store import manifest, sha256
from slipway.validation import folders, names
from slipway.values import FileEntry, FolderSource, Revision
from slipway.values.sources import DIGEST_OF


def resolve(source: FolderSource) -> Revision:
    """Return the folder's content as a revision.

    Raises:
        SourceMissing: If there is no such folder.
        SourceRefused: If a file in it breaks a rule.
    """
    if not source.path.is_dir():
        raise SourceMissing(f"folder {source.path}", "correct the entry's source.path")
    paths = names.checkpoint_files(path.name for path in source.path.iterdir())
    folders.check_checkpoint(source.path, paths)
    files = tuple(_entry(source.path, path) for path in paths)
    digest = keys.manifest_digest(files)
    return Revision(
        source=source,
        commit=f"{DIGEST_OF}{digest}",
        digest=digest,
        files_digest=_files_digest(files),
        paths=paths,
        size_bytes=sum(file.size_bytes for file in files),
        license=model_card.declared_license(source.path),
    )


def fetch(source: FolderSource, revision: Revision, into: Path) -> None:
    """Copy the folder's files into ``into``.

    Raises:
        SourceMissing: If they differ from those of ``revision``.
    """
    for path in revision.paths:
        if (source.path / path).exists():
            shutil.copy2(source.path / path, into / path, follow_symlinks=False)
    names.files(into)  # a link that came since would bring in a file from elsewhere
    if _files_digest(manifest(into)) != revision.files_digest:
        what = f"folder {source.path} as it was resolved"
        raise SourceMissing(what, "its files changed meanwhile; run the release again")
    drop_auto_map(into / "config.json")


def fetch_settings(source: FolderSource, revision: Revision, into: Path) -> None:
    """Copy the small files of a checkpoint, which say what it is, into ``into``."""
    for path in folders.small_files(revision.paths):
        shutil.copy2(source.path / path, into / path, follow_symlinks=False)


def _entry(folder: Path, path: str) -> FileEntry:
    file = folder / path
    return FileEntry(path=path, size_bytes=file.stat().st_size, sha256=sha256(file))


def _files_digest(files: tuple[FileEntry, ...]) -> str:
    return keys.digest([(file.path, file.sha256) for file in files])
