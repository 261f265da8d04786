"""A project of one's own: the nearest ``slipway.toml``, in the current folder or above it.

Its values are settings. They are set as environment variables, so that every process of a command
has them; a variable that is set already takes precedence.
"""

import json
import os
import tomllib
from pathlib import Path
from typing import Any

from slipway.errors import CatalogueInvalid
from slipway.settings import PROJECT, public_variables
from slipway.values.signers import names_a_file

FILE = "slipway.toml"

_PREFIX = "SLIPWAY_"
_FOLDERS = {"home", "catalogue", "expectations", "serve_keys_file", "signing_key", "verify_key"}
#: Settings that a file may not change: code that is shipped, and the password of servers.
_FORBIDDEN = {"wrappers", "open"}
#: Settings that are tables; a process receives them as JSON.
_TABLES = {"environments"}


def find(folder: Path) -> Path | None:
    """Return the ``slipway.toml`` of the nearest folder at or above ``folder``.

    The checkout has its own defaults: the search ends there.
    """
    for each in (folder, *folder.parents):
        if (each / FILE).is_file():
            return each / FILE
        if each == PROJECT:
            break
    return None


def use() -> None:
    """Set the settings of the current project, if there is one.

    Raises:
        CatalogueInvalid: If its file has faults, or belongs to another user.
    """
    file = find(Path.cwd())
    if file is None:
        return
    for name, value in _read(file).items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if isinstance(value, dict):
            text = json.dumps(value)
        if name in _FOLDERS and names_a_file(text):
            text = str(file.parent / Path(text).expanduser())
        variable = _PREFIX + name.upper()
        if not os.environ.get(variable):
            os.environ[variable] = text


def _read(file: Path) -> dict[str, Any]:
    if file.stat().st_uid not in {os.getuid(), 0}:
        fault = "file: got one of another user (expected yours; remove it, or copy its folder)"
        raise CatalogueInvalid(str(file), (fault,))
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CatalogueInvalid(str(file), (f"syntax: {error}",)) from error
    known = {each.removeprefix(_PREFIX).lower() for each in public_variables()} - _FORBIDDEN
    faults = [
        f"{name}: got unknown setting (expected one of docs/settings.md, in lower case and without "
        f"{_PREFIX})"
        for name in document
        if name not in known
    ]
    faults += [
        f"{name}: got {value!r} (expected a text, a number, true or false)"
        for name, value in document.items()
        if name not in _TABLES and not isinstance(value, str | int | float)
    ]
    faults += [
        f"{name}: got {document[name]!r} (expected tables, such as [{name}.prod])"
        for name in _TABLES & document.keys()
        if not isinstance(document[name], dict)
    ]
    if faults:
        raise CatalogueInvalid(str(file), tuple(faults))
    return document
