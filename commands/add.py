"""``slipway add``: write an entry of the catalogue for a model of the Hub, and check it."""

import os
import re
from pathlib import Path
from typing import get_args

from commands import console
from slipway import catalogue
from slipway.errors import NoVariant, SourceMissing, SourceRefused
from slipway.settings import Settings
from slipway.sources import checkpoint
from slipway.sources import variants as rules
from slipway.sources.offer import Offer, look
from slipway.validation import folders
from slipway.values import Entry, Variant, VariantChoice, VariantPrecision

_SOURCE = re.compile(r"(?:hf:|https://huggingface\.co/)(?P<repo>[\w.-]+/[\w.-]+?)/?")
_LARGE_BYTES = 1_000_000_000
_QUANTIZE = """{ kind = "quantize", candidates = [\
{ precision = "int4", method = "k_quant", mixed = ["last_matmul", "mixed_layers"] }, \
{ precision = "int8" }] }"""


def add(source: str, *, name: str | None = None, ref: str = "main", json: bool = False) -> int:
    """Ask the Hub what a repository offers, and write and check an entry of the catalogue for it.

    Args:
        source: `hf:organisation/name`, or the address of its page on the Hub.
        name: Name of the new entry. Default: made of the repository's name.
        ref: Branch, tag or commit.
        json: Print the result as JSON.
    """
    found = _SOURCE.fullmatch(source)
    if found is None:
        raise SourceMissing(source, "name it as hf:organisation/name; write others by hand")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # the client reads it when imported
    settings = Settings()
    name = name or re.sub(r"[^a-z0-9.-]+", "-", found["repo"].partition("/")[2].lower()).strip("-.")
    if name in catalogue.load(settings.catalogue):
        rule = "is there already"
        raise SourceRefused(f"models.{name}", rule, "name the new entry with --name")
    offer = look(found["repo"], ref, settings.hub_endpoint or None)
    written = _table(name, offer, ref)
    entry = _append(settings.catalogue, name, written)
    if json:
        console.show({"entry": entry.model_dump(mode="json"), "offer": offer.model_dump()})
    else:
        _show(name, offer, written, settings.catalogue)
    return 0


def _table(name: str, offer: Offer, ref: str) -> str:
    """Return the entry as the catalogue has it.

    Raises:
        SourceRefused: If the model card declares no license.
        ArchitectureUnsupported: If the model can neither be quantized nor selected.
    """
    if offer.license is None:
        rule = "the model card declares no license"
        raise SourceRefused(f"{offer.repo}/README.md", rule, "ask its authors which one holds")
    pinned = "" if ref == "main" else f', ref = "{ref}"'
    title = offer.repo.partition("/")[2].replace("-", " ")
    lines = [
        f'[models."{name}"]',
        f'title = "{title}"',
        f'source = {{ kind = "hub", repo = "{offer.repo}"{pinned} }}',
        f"recipe = {_recipe(offer)}",
        f'licenses = ["{offer.license}"]',
    ]
    if offer.size_bytes > _LARGE_BYTES:
        lines.append("automatic = false   # large: released on request only")
    return "\n".join(lines) + "\n"


def _recipe(offer: Offer) -> str:
    """Return a recipe: quantized here if that is possible, or else what is published."""
    if offer.architecture not in folders.SUPPORTED:
        for repo, found in offer.published.items():
            for precision in get_args(VariantPrecision):
                if _is_single(repo, found, precision):
                    return (
                        f'{{ kind = "select", repo = "{repo}", target = "cpu", '
                        f'precision = "{precision}" }}'
                    )
        folders.require_supported(offer.architecture or "not named")
    return _QUANTIZE


def _is_single(repo: str, found: tuple[Variant, ...], precision: VariantPrecision) -> bool:
    try:
        rules.choose(repo, found, VariantChoice(precision=precision))
    except (NoVariant, SourceRefused):
        return False
    return True


def _append(file: Path, name: str, table: str) -> Entry:
    """Append an entry to the catalogue after the file with the entry was read and resolved."""
    text = file.read_text(encoding="utf-8").rstrip("\n")
    new = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        new.write_text(f"{text}\n\n{table}", encoding="utf-8")
        entry = catalogue.find(new, name)
        checkpoint.resolve(entry)
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
    return entry


def _show(name: str, offer: Offer, table: str, file: Path) -> None:
    published = [
        f"{repo}: {each.name} ({each.target} {each.precision})"
        for repo, found in offer.published.items()
        for each in found
    ]
    console.facts(
        f"{name} is in {file}",
        {
            "source": f"{offer.repo}@{offer.commit[:8]}, {console.megabytes(offer.size_bytes)}",
            "license": f"{offer.license}; release the model only if you may use it",
            "architecture": offer.architecture or "not named",
            "published": "\n".join(published) or "no ONNX artifact",
            "entry": table,
            "next": f"slipway plan {name}",
        },
    )
