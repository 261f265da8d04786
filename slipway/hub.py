"""The adapter of huggingface_hub: a ref becomes a commit, a commit becomes verified files."""

import fnmatch
import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from slipway import choose, keys, variant_files, variants
from slipway.errors import SourceMissing, SourceRefused, StoreDamaged, Unreachable
from slipway.intake import SUPPORTED
from slipway.progress import Progress, silent
from slipway.values import HubSource, Published, Revision, SelectRecipe, Variant


def resolve(source: HubSource) -> Revision:
    """Return the commit that ``source.ref`` names now, as the Hub itself says it.

    Raises:
        SourceMissing: If there is no such repository or ref, or it is not open to us.
        Unreachable: If the Hub does not answer.
    """
    info = _info(source.repo, source.ref, source.endpoint)
    files = {file.rfilename: file for file in info.siblings}
    paths = choose.checkpoint_files(files)
    if not paths:
        raise SourceMissing(f"a checkpoint in {source.repo}", "name a repository with safetensors")
    card = info.card_data
    return Revision(
        source=source,
        commit=info.sha,
        digest=_digest(files[path] for path in paths),
        paths=paths,
        size_bytes=sum(files[path].size or 0 for path in paths),
        licence=str(card.license).lower() if card and card.license else None,
    )


def resolve_published(revision: Revision, recipe: SelectRecipe) -> Revision:
    """Return ``revision`` with the published variant that ``recipe`` asks for pinned in it.

    Raises:
        NoVariant: If no variant fits, or several do.
        SourceRefused: If the variant that fits is not complete.
        SourceMissing: If there is no such repository or ref, or it is not open to us.
        Unreachable: If the Hub does not answer.
    """
    info = _info(recipe.repo, recipe.ref, recipe.endpoint)
    found = _variants(_Place(recipe.repo, info.sha, recipe.endpoint), info)
    chosen = variants.choose(recipe.repo, found, recipe)
    published = Published(
        repo=recipe.repo,
        commit=info.sha,
        endpoint=recipe.endpoint,
        folder=chosen.folder,
        paths=chosen.paths,
        size_bytes=chosen.size_bytes,
    )
    both = revision.digest + _digest(f for f in info.siblings if f.rfilename in chosen.paths)
    digest = hashlib.sha256(both.encode()).hexdigest()
    return revision.model_copy(update={"published": published, "digest": digest})


def published_variants(
    repo: str, ref: str, endpoint: str | None = None
) -> tuple[str, tuple[Variant, ...]]:
    """Return the commit that ``ref`` names now, 40 hex digits, and the variants in it.

    Raises:
        SourceMissing: If there is no such repository or ref, or it is not open to us.
        Unreachable: If the Hub does not answer.
    """
    info = _info(repo, ref, endpoint)
    return info.sha, _variants(_Place(repo, info.sha, endpoint), info)


def fetch(source: HubSource, revision: Revision, into: Path, progress: Progress) -> None:
    """Write the checkpoint of ``revision`` into ``into``, every file checked against the Hub.

    Raises:
        StoreDamaged: If what arrived is not what the Hub lists.
        Unreachable: If the Hub does not answer.
    """
    place = _Place(source.repo, revision.commit, source.endpoint)
    _download(place, revision.paths, into, progress)
    _drop_auto_map(into / "config.json")


def fetch_published(published: Published, into: Path, progress: Progress) -> None:
    """Write the files of a published variant into ``into``, without its folder's path.

    Raises:
        StoreDamaged: If what arrived is not what the Hub lists.
        Unreachable: If the Hub does not answer.
    """
    place = _Place(published.repo, published.commit, published.endpoint)
    _download(place, published.paths, into, progress)
    if not published.folder:
        return
    lifted = into / ".lifted"
    (into / published.folder).rename(lifted)
    shutil.rmtree(into / published.folder.split("/")[0], ignore_errors=True)
    for path in lifted.iterdir():
        path.rename(into / path.name)
    lifted.rmdir()


class _Place(NamedTuple):
    repo: str
    commit: str
    endpoint: str | None

    def __str__(self) -> str:
        return f"{self.repo}@{self.commit[:8]}"


def _info(repo: str, ref: str, endpoint: str | None) -> Any:
    from huggingface_hub import HfApi

    with _translated(repo, ref, endpoint):
        return HfApi(endpoint=endpoint).model_info(repo, revision=ref, files_metadata=True)


def _variants(place: _Place, info: Any) -> tuple[Variant, ...]:
    """Read the small configurations of what a repository publishes, and nothing else of it."""
    sizes = {file.rfilename: file.size or 0 for file in info.siblings}
    paths = variant_files.config_paths(sizes)
    with TemporaryDirectory() as room:
        if paths:
            _download(place, paths, Path(room), silent)
        configs = {path: (Path(room) / path).read_bytes() for path in paths}
    return variants.parse(place.repo, sizes, configs)


def _download(place: _Place, paths: tuple[str, ...], into: Path, progress: Progress) -> None:
    from huggingface_hub import HfApi

    api = HfApi(endpoint=place.endpoint)
    progress(None, f"fetching {len(paths)} files of {place}")
    with _translated(place.repo, place.commit, place.endpoint):
        pinned: dict[str, Any] = {"revision": place.commit, "local_dir": into}
        api.snapshot_download(
            place.repo, allow_patterns=[_literal(path) for path in paths], **pinned
        )
        progress(None, f"checking {len(paths)} files against the Hub's digests")
        seen = api.verify_repo_checksums(place.repo, **pinned)
    shutil.rmtree(into / ".cache", ignore_errors=True)
    lost = sorted(set(seen.missing_paths) & set(paths))
    for path in [mismatch["path"] for mismatch in seen.mismatches] + lost:
        raise StoreDamaged(str(place), path)


def _literal(path: str) -> str:
    """Write ``path`` as a pattern that matches only itself."""
    literal = "".join(f"[{letter}]" if letter in "*?[" else letter for letter in path)
    assert fnmatch.fnmatch(path, literal)  # noqa: S101 - a law of fnmatch
    return literal


def _digest(files: Iterable[Any]) -> str:
    """Return one digest over names and contents, from what the Hub lists before a download."""
    listing = sorted(
        (file.rfilename, file.lfs["sha256"] if file.lfs else file.blob_id)
        for file in files
        if keys.identifies(file.rfilename)
    )
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()


def _drop_auto_map(path: Path) -> None:
    """Remove the pointer to remote code from a model whose code transformers itself has.

    Phi-3's own repository has one, beside weights that transformers loads without it.
    """
    try:
        config = json.loads(path.read_bytes())
        known = config["architectures"] and set(config["architectures"]) <= set(SUPPORTED)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return  # intake, which is next, says what is wrong with it
    if known and "auto_map" in config:
        del config["auto_map"]
        path.write_text(json.dumps(config, indent=2), encoding="utf-8")


@contextmanager
def _translated(repo: str, ref: str, endpoint: str | None) -> Iterator[None]:
    """Turn the client's errors into ours."""
    from huggingface_hub import constants, errors
    from huggingface_hub.utils import httpx

    try:
        yield
    except errors.GatedRepoError as error:
        advice = "accept its terms on the Hub, and set HF_TOKEN to a token that may read it"
        raise SourceMissing(f"access to {repo}", advice) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        advice = "check the name; set HF_TOKEN if it is private"
        raise SourceMissing(f"repository {repo}", advice) from error
    except errors.RevisionNotFoundError as error:
        advice = "name a branch, tag or commit of it as ref"
        raise SourceMissing(f"{ref!r} in {repo}", advice) from error
    except errors.RemoteEntryNotFoundError as error:
        raise SourceRefused(repo, f"a listed file is gone at {ref}", "resolve it again") from error
    except (errors.OfflineModeIsEnabled, errors.HfHubHTTPError, httpx.HTTPError, OSError) as error:
        address = endpoint or constants.ENDPOINT
        raise Unreachable("the Hugging Face Hub", address, _one_line(error)) from error


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
