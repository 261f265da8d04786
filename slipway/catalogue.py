"""Files that people write → values, or every fault at once: ``catalogue.toml``, JSON files."""

import logging
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from slipway.errors import CatalogueInvalid, SourceMissing, UnknownModel
from slipway.settings import has_password
from slipway.values import (
    Entry,
    FolderSource,
    HubSource,
    Precision,
    QuantizeRecipe,
    Recipe,
    Source,
)

T = TypeVar("T")

#: Fields of several kinds; pydantic names the kind in a fault's path, right behind the field.
_UNIONS = {"source", "recipe"}


@cache
def _warn_once(text: str) -> None:
    """Log a warning; the command line has no log, so Python prints it to stderr as one line."""
    logging.getLogger(__name__).warning(text)


def ignore(_warning: str) -> None:
    """Drop a warning, where a flow that follows logs the same one."""


def load(path: Path, *, warn: Callable[[str], object] = _warn_once) -> Mapping[str, Entry]:
    """Return the entries of the catalogue at ``path``, by name.

    Args:
        path: The file.
        warn: Called once if fields have their names of an earlier version.

    Raises:
        CatalogueInvalid: With every fault that was found, not only the first.
    """
    models = _read(path)
    entries: dict[str, Entry] = {}
    faults: list[str] = []
    outdated: list[str] = []
    for name, written in models.items():
        fields = dict(written)
        if "licences" in fields:
            if "licenses" in fields:
                faults.append(f"models.{name}.licences: got both names (expected licenses alone)")
            else:
                outdated.append(f"models.{name}")
            fields["licenses"] = fields.pop("licences")
        try:
            entries[name] = _located(Entry.model_validate({**fields, "name": name}), path.parent)
        except ValidationError as error:
            faults += [
                _fault(name, _as_written(detail, fields))
                for detail in error.errors()
                if not echo(detail)
            ]
    if outdated:
        warn(f"{path}: licences is now called licenses; rename it in {', '.join(outdated)}")
    if faults:
        raise CatalogueInvalid(str(path), tuple(faults))
    return entries


def find(path: Path, model: str, *, warn: Callable[[str], object] = _warn_once) -> Entry:
    """Return one entry of the catalogue at ``path``; ``warn`` as in ``load``.

    Raises:
        CatalogueInvalid: If the catalogue has faults, in whichever entry.
        UnknownModel: If it has no entry ``model``.
    """
    entries = load(path, warn=warn)
    if model not in entries:
        raise UnknownModel(model, tuple(entries))
    return entries[model]


def as_requested(entry: Entry, ref: str | None, recipe: str) -> Entry:
    """Return ``entry`` with what a person requested instead of what the catalogue says.

    Args:
        entry: As in the catalogue.
        ref: Branch, tag or commit on the Hub; None for the catalogue's.
        recipe: A precision to build alone; any other text leaves the catalogue's recipe.

    Raises:
        SourceMissing: If the source has no refs.
    """
    changes: dict[str, Source | Recipe] = {}
    if ref:
        if not isinstance(entry.source, HubSource):
            advice = "leave the ref out, since the source is no repository on the Hub"
            raise SourceMissing(f"ref {ref!r} of {entry.name}", advice)
        changes["source"] = entry.source.model_copy(update={"ref": ref})
    if recipe in get_args(Precision):
        changes["recipe"] = QuantizeRecipe.model_validate({"candidates": [{"precision": recipe}]})
    return entry.model_copy(update=changes)


def read_json(form: TypeAdapter[T], path: Path) -> T:
    """Return the JSON file at ``path`` as a value of ``form``: prompts, a suite, conversations.

    Raises:
        SourceMissing: If there is no such file.
        CatalogueInvalid: With every fault that was found.
    """
    try:
        return form.validate_json(path.read_bytes())
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        advice = "write it, or correct the path in the catalogue"
        raise SourceMissing(str(path), advice) from None
    except ValidationError as error:
        faults = tuple(_json_fault(detail["loc"], detail["msg"]) for detail in error.errors())
        raise CatalogueInvalid(str(path), faults) from None


def _json_fault(location: tuple[int | str, ...], message: str) -> str:
    """Write a fault as ``expectations[3].severity: message``."""
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return f"{place.removeprefix('.')}: {message}" if place else message


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        fault = f"file: got {error.strerror} (expected a readable catalogue)"
        raise CatalogueInvalid(str(path), (fault,)) from error
    except ValueError as error:
        raise CatalogueInvalid(str(path), (f"syntax: {error}",)) from error
    faults = [f"{key}: got unknown table (expected models)" for key in document if key != "models"]
    models: dict[str, dict[str, Any]] = document.get("models", {})
    if not isinstance(models, dict) or not models:
        faults.append("models: got nothing (expected at least one [models.<name>])")
    else:
        faults += [
            f"models.{name}: got {fields!r} (expected a table)"
            for name, fields in models.items()
            if not isinstance(fields, dict)
        ]
    if faults:
        raise CatalogueInvalid(str(path), tuple(faults))
    return models


def _located(entry: Entry, folder: Path) -> Entry:
    source = entry.source
    if not isinstance(source, FolderSource):
        return entry
    absolute = source.model_copy(update={"path": (folder / source.path).resolve()})
    return entry.model_copy(update={"source": absolute})


def echo(detail: ErrorDetails) -> bool:
    """Return whether a list is reported as too short only because its items have faults."""
    return detail["type"] == "too_short" and bool(detail["input"])


def _as_written(detail: ErrorDetails, entry: Mapping[str, Any]) -> ErrorDetails:
    """Return a fault with its place in the file: a recipe's only candidate may have no list."""
    place = ("recipe", "select", "candidates", 0)
    if detail["loc"][:4] == place and "candidates" not in entry["recipe"]:
        detail["loc"] = (*place[:2], *detail["loc"][4:])
    return detail


def _fault(name: str, detail: ErrorDetails) -> str:
    return f"{_where(name, detail)}: got {_got(detail)} (expected {_expected(detail)})"


def _where(name: str, detail: ErrorDetails) -> str:
    where = f"models.{name}"
    for before, segment in pairwise(("", *detail["loc"])):
        if isinstance(segment, int):
            where += f"[{segment}]"
        elif before not in _UNIONS and (before, segment) != ("", "name"):
            where += f".{segment}"
    return where


def _got(detail: ErrorDetails) -> str:
    if detail["type"] in {"missing", "union_tag_not_found"}:
        return "nothing"
    if detail["type"] == "extra_forbidden":
        return "unknown field"
    if has_password(str(detail["input"])):
        return "an address with a password"
    return repr(detail["input"])


def _expected(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    if detail["type"] == "union_tag_not_found":
        return f"a field {context['discriminator']}"
    if detail["type"] == "missing":
        return "a value; the field is required"
    if detail["type"] == "extra_forbidden":
        return "no such field; look for a misspelling"
    if wanted := context.get("expected") or context.get("expected_tags") or context.get("pattern"):
        return f"text like {wanted}" if "pattern" in context else str(wanted)
    if detail["type"] == "too_short":
        return f"at least {context['min_length']}"
    message = detail["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return message[0].lower() + message[1:]
