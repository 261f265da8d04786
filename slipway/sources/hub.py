"""The Hub as a source: a ref becomes a commit, and a commit becomes verified files."""

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from slipway import keys
from slipway.errors import SourceMissing, SourceRefused
from slipway.sources import hub_client, variants
from slipway.sources.auto_map import drop_auto_map
from slipway.sources.download import Download
from slipway.sources.hub_client import Listing, RepositoryAddress
from slipway.system.progress import Progress
from slipway.validation import contents, folders, names
from slipway.values import Entry, HubSource, Published, Revision, Scan, SelectRecipe, Variant

_MOST_VARIANTS = 200


def resolve(source: HubSource) -> Revision:
    """Return the commit that ``source.ref`` names now.

    Raises:
        SourceMissing: If it has no checkpoint; else see ``hub_client.info`` and ``scan``.
    """
    listing = hub_client.info(source.repo, source.ref, source.endpoint)
    paths = names.checkpoint_files(listing.files)
    if not paths:
        raise SourceMissing(f"a checkpoint in {source.repo}", "name a repository with safetensors")
    address = RepositoryAddress(source.repo, listing.commit, source.endpoint)
    return Revision(
        source=source,
        commit=listing.commit,
        digest=_identity(listing, paths),
        files_digest=listing.digest(paths),
        paths=paths,
        size_bytes=_size_bytes(listing, paths),
        license=listing.license,
        scan=hub_client.scan(address, listing, paths),
        dated=hub_client.committed_at(address),
    )


def heads(entry: Entry) -> tuple[str, ...] | None:
    """Return the commits of the entry's repositories now; None if its source is not on a Hub."""
    if not isinstance(entry.source, HubSource):
        return None
    return tuple(hub_client.head(each.repo, each.ref, each.endpoint) for each in entry.repositories)


def resolve_published(revision: Revision, recipe: SelectRecipe) -> Revision:
    """Return ``revision`` with the published variants that ``recipe`` selects pinned in it.

    Raises:
        NoVariant: If no variant fits a candidate, or several do.
        SourceRefused: If a variant that fits is not complete, or the Hub's scan flags it.
    """
    listing = hub_client.info(recipe.repo, recipe.ref, recipe.endpoint)
    address = RepositoryAddress(recipe.repo, listing.commit, recipe.endpoint)
    chosen = variants.choose_each(_variants(address, listing), recipe)
    published = tuple(
        Published(
            repo=recipe.repo,
            commit=listing.commit,
            endpoint=recipe.endpoint,
            folder=variant.folder,
            paths=variant.paths,
            size_bytes=_size_bytes(listing, variant.paths),
            files_digest=listing.digest(variant.paths),
        )
        for variant in chosen
    )
    paths = tuple(sorted({path for variant in chosen for path in variant.paths}))
    scanned = {revision.scan, hub_client.scan(address, listing, paths)}
    identities = (_identity(listing, variant.paths) for variant in chosen)
    digest = hashlib.sha256("".join((revision.digest, *identities)).encode()).hexdigest()
    scan: Scan = "clean" if scanned == {"clean"} else "unknown"
    dates = [hub_client.committed_at(address), *([revision.dated] if revision.dated else [])]
    pinned = {"published": published, "digest": digest, "scan": scan, "dated": max(dates)}
    return revision.model_copy(update=pinned)


def published_variants(
    repo: str, ref: str, endpoint: str | None = None
) -> tuple[str, tuple[Variant, ...]]:
    """Return the commit that ``ref`` names now, 40 hex digits, and the variants in it."""
    listing = hub_client.info(repo, ref, endpoint)
    return listing.commit, _variants(RepositoryAddress(repo, listing.commit, endpoint), listing)


def fetch(
    source: HubSource,
    revision: Revision,
    into: Path,
    progress: Progress,
    *,
    partial: Path | None = None,
) -> dict[str, str]:
    """Write the checkpoint of ``revision`` into ``into``, every file checked against the Hub.

    Returns:
        SHA-256 of each file that is unchanged since the download, by path.
    """
    address = RepositoryAddress(source.repo, revision.commit, source.endpoint)
    wanted = Download(address, revision.paths, revision.files_digest, progress)
    digests = wanted.write(into, partial)
    if drop_auto_map(into / "config.json"):
        del digests["config.json"]
    return digests


def fetch_settings(source: HubSource, revision: Revision, into: Path) -> None:
    """Write the small files of a checkpoint, which say what it is, into ``into``."""
    address = RepositoryAddress(source.repo, revision.commit, source.endpoint)
    paths = folders.small_files(revision.paths)
    listing = hub_client.info(*address)
    Download(address, paths, listing.digest(paths)).write(into)


def fetch_published(
    published: Published, into: Path, progress: Progress, *, partial: Path | None = None
) -> dict[str, str]:
    """Write the files of a published variant into ``into``, without its folder's path.

    Returns:
        SHA-256 of each file, by path.
    """
    address = RepositoryAddress(published.repo, published.commit, published.endpoint)
    wanted = Download(address, published.paths, published.files_digest, progress)
    digests = _flattened(published.folder, into, wanted.write(into, partial))
    if drop_auto_map(into / "config.json"):
        del digests["config.json"]
    return digests


def _flattened(folder: str, into: Path, digests: dict[str, str]) -> dict[str, str]:
    """Move the files of a folder to the one above all, and return their digests by new path."""
    if not folder:
        return digests
    flat = into / ".flat"
    (into / folder).rename(flat)
    shutil.rmtree(into / folder.split("/", maxsplit=1)[0], ignore_errors=True)
    for path in flat.iterdir():
        path.rename(into / path.name)
    flat.rmdir()
    prefix = f"{folder}/"  # a file of the folder replaces the root's of the same name
    in_root_first = sorted(digests.items(), key=lambda item: item[0].startswith(prefix))
    return {path.removeprefix(prefix): digest for path, digest in in_root_first}


def _variants(address: RepositoryAddress, listing: Listing) -> tuple[Variant, ...]:
    """Download the small configurations of a repository's variants, and nothing else of it."""
    sizes = {path: file.size_bytes for path, file in listing.files.items()}
    paths = variants.config_paths(sizes)
    if len(paths) > _MOST_VARIANTS:
        rule = f"{len(paths)} variants, and {_MOST_VARIANTS} are the limit"
        raise SourceRefused(address.repo, rule, "select from another repository")
    with TemporaryDirectory() as folder:
        if paths:
            Download(address, paths, listing.digest(paths)).write(Path(folder))
        configs = {path: Path(folder, path).read_bytes() for path in paths}
    return variants.parse(address.repo, sizes, configs)


def _identity(listing: Listing, paths: Iterable[str]) -> str:
    """Return the digest of these files without the model card, whose words change no answer."""
    return listing.digest(filter(keys.identifies, paths))


def _size_bytes(listing: Listing, paths: Iterable[str]) -> int:
    """Return the size of these files, none of which is larger than such files are.

    Raises:
        SourceRefused: If one is.
    """
    for path in paths:
        contents.require_size(path, listing.files[path].size_bytes)
    return sum(listing.files[path].size_bytes for path in paths)
