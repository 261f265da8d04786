"""The Hub as a source: a ref becomes a commit, and a commit becomes verified files."""

import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from slipway import keys
from slipway.errors import SourceMissing
from slipway.sources import hub_client, variants
from slipway.sources.download import Download
from slipway.sources.hub_client import RepositoryAddress
from slipway.system.progress import Progress
from slipway.validation import folders, names
from slipway.values import Entry, HubSource, Published, Revision, Scan, SelectRecipe, Variant


def resolve(source: HubSource) -> Revision:
    """Return the commit that ``source.ref`` names now.

    Raises:
        SourceMissing, AccessDenied: If there is no such repository or ref, or no access to it.
        SourceRefused: If the Hub's security scan flags a file that is used.
        ScanPending: If that scan is not done.
        Unreachable: If the Hub does not answer.
    """
    info = hub_client.info(source.repo, source.ref, source.endpoint)
    files = {file.rfilename: file for file in info.siblings}
    paths = names.checkpoint_files(files)
    if not paths:
        raise SourceMissing(f"a checkpoint in {source.repo}", "name a repository with safetensors")
    card = info.card_data
    address = RepositoryAddress(source.repo, info.sha, source.endpoint)
    return Revision(
        source=source,
        commit=info.sha,
        digest=_digest(files[path] for path in paths),
        paths=paths,
        size_bytes=sum(files[path].size or 0 for path in paths),
        license=str(card.license).lower() if card and card.license else None,
        scan=hub_client.scan(address, info, paths),
    )


def heads(entry: Entry) -> tuple[str, ...] | None:
    """Return the commits of the entry's repositories now; None if its source is not on a Hub.

    Raises:
        SourceMissing, AccessDenied: If there is no such repository or ref, or no access to it.
        Unreachable: If the Hub does not answer.
    """
    if not isinstance(entry.source, HubSource):
        return None
    return tuple(hub_client.head(each.repo, each.ref, each.endpoint) for each in entry.repositories)


def resolve_published(revision: Revision, recipe: SelectRecipe) -> Revision:
    """Return ``revision`` with the published variant that ``recipe`` selects pinned in it.

    Raises:
        NoVariant: If no variant fits, or several do.
        SourceRefused: If the variant that fits is not complete, or the Hub's scan flags it.
        ScanPending: If that scan is not done.
        SourceMissing, AccessDenied: If there is no such repository or ref, or no access to it.
        Unreachable: If the Hub does not answer.
    """
    info = hub_client.info(recipe.repo, recipe.ref, recipe.endpoint)
    address = RepositoryAddress(recipe.repo, info.sha, recipe.endpoint)
    found = _variants(address, info)
    chosen = variants.choose(recipe.repo, found, recipe)
    published = Published(
        repo=recipe.repo,
        commit=info.sha,
        endpoint=recipe.endpoint,
        folder=chosen.folder,
        paths=chosen.paths,
        size_bytes=chosen.size_bytes,
    )
    scanned = {revision.scan, hub_client.scan(address, info, chosen.paths)}
    both = revision.digest + _digest(f for f in info.siblings if f.rfilename in chosen.paths)
    digest = hashlib.sha256(both.encode()).hexdigest()
    scan: Scan = "clean" if scanned == {"clean"} else "unknown"
    pinned = {"published": published, "digest": digest, "scan": scan}
    return revision.model_copy(update=pinned)


def published_variants(
    repo: str, ref: str, endpoint: str | None = None
) -> tuple[str, tuple[Variant, ...]]:
    """Return the commit that ``ref`` names now, 40 hex digits, and the variants in it.

    Raises:
        SourceMissing, AccessDenied: If there is no such repository or ref, or no access to it.
        Unreachable: If the Hub does not answer.
    """
    info = hub_client.info(repo, ref, endpoint)
    return info.sha, _variants(RepositoryAddress(repo, info.sha, endpoint), info)


def fetch(
    source: HubSource,
    revision: Revision,
    into: Path,
    progress: Progress,
    *,
    partial: Path | None = None,
) -> dict[str, str]:
    """Write the checkpoint of ``revision`` into ``into``, every file checked against the Hub.

    Args:
        source: The repository.
        revision: The commit and its files.
        into: An empty folder.
        progress: Receives the downloaded share.
        partial: Where finished files survive a failure, on the same disk; None for nowhere.

    Returns:
        SHA-256 of each file that is unchanged since the download, by path.

    Raises:
        StoreDamaged: If the received bytes are not those that the Hub lists.
        Unreachable: If the Hub does not answer.
    """
    address = RepositoryAddress(source.repo, revision.commit, source.endpoint)
    digests = Download(address, revision.paths, progress).write(into, partial)
    if _drop_auto_map(into / "config.json"):
        del digests["config.json"]
    return digests


def fetch_published(
    published: Published, into: Path, progress: Progress, *, partial: Path | None = None
) -> dict[str, str]:
    """Write the files of a published variant into ``into``, without its folder's path.

    Args:
        published: The commit and its files.
        into: An empty folder.
        progress: Receives the downloaded share.
        partial: Where finished files survive a failure, on the same disk; None for nowhere.

    Returns:
        SHA-256 of each file, by path.

    Raises:
        StoreDamaged: If the received bytes are not those that the Hub lists.
        Unreachable: If the Hub does not answer.
    """
    address = RepositoryAddress(published.repo, published.commit, published.endpoint)
    digests = Download(address, published.paths, progress).write(into, partial)
    if not published.folder:
        return digests
    flat = into / ".flat"
    (into / published.folder).rename(flat)
    shutil.rmtree(into / published.folder.split("/")[0], ignore_errors=True)
    for path in flat.iterdir():
        path.rename(into / path.name)
    flat.rmdir()
    prefix = f"{published.folder}/"  # a file of the folder replaces the root's of the same name
    in_root_first = sorted(digests.items(), key=lambda item: item[0].startswith(prefix))
    return {path.removeprefix(prefix): digest for path, digest in in_root_first}


def _variants(address: RepositoryAddress, info: Any) -> tuple[Variant, ...]:
    """Download the small configurations of a repository's variants, and nothing else of it."""
    sizes = {file.rfilename: file.size or 0 for file in info.siblings}
    paths = variants.config_paths(sizes)
    with TemporaryDirectory() as folder:
        if paths:
            Download(address, paths).write(Path(folder))
        configs = {path: Path(folder, path).read_bytes() for path in paths}
    return variants.parse(address.repo, sizes, configs)


def _digest(files: Iterable[Any]) -> str:
    """Return one digest over names and contents, computed from the Hub's listing."""
    listing = sorted(
        (file.rfilename, file.lfs["sha256"] if file.lfs else file.blob_id)
        for file in files
        if keys.identifies(file.rfilename)
    )
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()


def _drop_auto_map(path: Path) -> bool:
    """Remove the pointer to remote code from a model whose code transformers itself has.

    Phi-3's own repository has one, beside weights that transformers loads without it.

    Returns:
        Whether the file was changed.
    """
    try:
        config = json.loads(path.read_bytes())
        known = config["architectures"] and set(config["architectures"]) <= set(folders.SUPPORTED)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False  # the validation that follows reports what is wrong
    if not known or "auto_map" not in config:
        return False
    del config["auto_map"]
    path.write_text(json.dumps(config, indent=2), encoding="utf-8")
    return True
