"""What a repository of the Hub offers, before anything large of it is downloaded."""

import contextlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from slipway.errors import AccessDenied, SourceMissing
from slipway.sources import hub, hub_client
from slipway.sources.download import Download
from slipway.sources.hub_client import Listing, RepositoryAddress
from slipway.validation import names
from slipway.values import Value, Variant

_CONFIG = "config.json"


class Offer(Value):
    """What can be released of a repository.

    Attributes:
        commit: 40 hex digits.
        license: As the model card declares it; None without one.
        architecture: Of the checkpoint, as in `config.json`; None without one.
        size_bytes: Size of the checkpoint.
        published: ONNX artifacts that this repository or its companion `<repo>-onnx` publishes, by
            repository.
    """

    repo: str
    commit: str
    license: str | None
    architecture: str | None
    size_bytes: int
    published: dict[str, tuple[Variant, ...]]


def look(repo: str, ref: str, endpoint: str | None) -> Offer:
    """Return what ``repo`` offers at ``ref``.

    Raises:
        SourceMissing, AccessDenied, SourceRefused, Unreachable: As ``hub_client.info``.
    """
    listing = hub_client.info(repo, ref, endpoint)
    paths = names.checkpoint_files(listing.files)
    published = {repo: hub.published_variants(repo, ref, endpoint)[1]}
    with contextlib.suppress(SourceMissing, AccessDenied):  # few have a companion
        companion = f"{repo}-onnx"
        published[companion] = hub.published_variants(companion, "main", endpoint)[1]
    return Offer(
        repo=repo,
        commit=listing.commit,
        license=listing.license,
        architecture=_architecture(RepositoryAddress(repo, listing.commit, endpoint), listing),
        size_bytes=sum(listing.files[path].size_bytes for path in paths),
        published={name: variants for name, variants in published.items() if variants},
    )


def _architecture(address: RepositoryAddress, listing: Listing) -> str | None:
    if _CONFIG not in listing.files:
        return None
    with TemporaryDirectory() as folder:
        Download(address, (_CONFIG,), listing.digest((_CONFIG,))).write(Path(folder))
        content = Path(folder, _CONFIG).read_bytes()
    try:
        return str(json.loads(content)["architectures"][0])
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
