"""Keys of the model servers: who may use which models, and how often.

A key is 32 random bytes, so its SHA-256 is enough to recognize it and cannot be reversed: the file
of keys has no key. Servers read the file again when it changes.
"""

import hashlib
import json
import logging
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from filelock import FileLock
from pydantic import AwareDatetime, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from slipway.errors import CatalogueInvalid, KeyNameTaken, KeysMissing, SourceMissing
from slipway.settings import Settings
from slipway.system.network import is_loopback
from slipway.system.secret_files import secret, write
from slipway.values import Record, Value

_PREFIX = "sk-slipway-"
_OWN_FILE = "serving-own-key"
_BYTES = 32
_HINT = 4  # last characters of a key that the list shows
_MOST_BYTES = 1 << 20  # of the file of keys

#: Environment variable: "1" if other machines reach this server, or the one in front of it.
_EXPOSED = "SLIPWAY_SERVING_EXPOSED"

#: Owner of the key with which this home's own processes use its servers.
OWN = "slipway"
#: Owner in metrics of requests without a valid key.
UNKNOWN = "unknown"


class ApiKey(Value):
    """What a server knows about a key.

    Attributes:
        name: Its owner, as metrics and logs show.
        sha256: Of the key, 64 hex digits.
        hint: The key's last characters, by which its owner recognizes it.
        models: Models that it may use; None for all.
        requests_per_minute: Most requests that generate; None for no limit.
        created: When it was made.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    hint: str = Field(default="", max_length=_HINT)
    models: tuple[str, ...] | None = None
    requests_per_minute: int | None = Field(default=None, ge=1, le=1_000_000)
    created: AwareDatetime

    def allows(self, model: str) -> bool:
        """Tell whether the key may use ``model``."""
        return self.models is None or model in self.models


class ApiKeys(Record):
    """The content of the file of keys."""

    keys: tuple[ApiKey, ...] = ()

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        names = [key.name for key in self.keys]
        if len({*names, OWN, UNKNOWN}) != len(names) + 2:
            expected = f"expected names that differ from each other, from {OWN} and from {UNKNOWN}"
            raise ValueError(expected)
        return self


class Keyring:
    """The keys that a server accepts at this moment.

    Once a file of keys was there, keys are required until this process ends: without the file, no
    key is valid. A file with faults changes nothing; the log says which.

    Args:
        settings: Name the file of keys, and the home whose own key is accepted too.
        is_exposed: Whether other machines reach the server.
    """

    def __init__(self, settings: Settings, *, is_exposed: bool) -> None:
        self._file = settings.keys_file
        self._home = settings.home
        self._seen: tuple[int, int, int] | Literal["nothing yet"] | None = "nothing yet"
        self._listed: tuple[ApiKey, ...] = ()
        self._keys: Mapping[str, ApiKey] = {}
        self._is_required = is_exposed or settings.serve_keys_file is not None
        self._refresh()

    @property
    def is_required(self) -> bool:
        """Whether a request needs a key now."""
        self._refresh()
        return self._is_required

    def find(self, key: bytes) -> ApiKey | None:
        """Return what is known about a key; None if it is not valid."""
        self._refresh()
        return self._keys.get(hashlib.sha256(key).hexdigest())

    def _refresh(self) -> None:
        seen = _identity(self._file)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._listed = read(self._file).keys if seen else ()
        except CatalogueInvalid as error:
            text = " ".join(str(error).split())
            logging.getLogger("uvicorn.error").warning("the keys stay as they were: %s", text)
        self._is_required = self._is_required or seen is not None
        if self._is_required:
            self._keys = {key.sha256: key for key in (*self._listed, _own(self._home))}


def own_key(home: Path) -> str:
    """Return the key with which processes of this home use its model servers; never shown."""
    return secret(home, _OWN_FILE, _PREFIX)


def own_headers(home: Path) -> dict[str, str]:
    """Return the headers of requests to a model server of this home."""
    return {"Authorization": f"Bearer {own_key(home)}"}


def require_keys(host: str, settings: Settings) -> None:
    """Check that no server without keys is reached by other machines.

    Raises:
        KeysMissing: If ``host`` is not loopback, and no file of keys exists or is named.
        CatalogueInvalid: If the file of keys has faults.
    """
    read(settings.keys_file)
    if not is_loopback(host) and not has_keys(settings):
        raise KeysMissing(host)


def note_exposure(host: str) -> None:
    """Let the child processes know if other machines reach the server at ``host``."""
    if not is_loopback(host):
        os.environ[_EXPOSED] = "1"


def is_exposed() -> bool:
    """Tell whether other machines reach the server that this process belongs to."""
    return os.environ.get(_EXPOSED) == "1"


def has_keys(settings: Settings) -> bool:
    """Tell whether the model servers require keys: those of a file that exists or is named."""
    return settings.serve_keys_file is not None or settings.keys_file.is_file()


def read(file: Path) -> ApiKeys:
    """Return the keys of a file; none if it does not exist.

    Raises:
        CatalogueInvalid: If it cannot be read, or has faults.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(_MOST_BYTES + 1)
        _require_small(file, len(content))
        return ApiKeys.model_validate_json(content)
    except FileNotFoundError:
        return ApiKeys()
    except OSError as error:
        raise CatalogueInvalid(str(file), (error.strerror or str(error),)) from error
    except ValidationError as error:
        raise CatalogueInvalid(str(file), tuple(map(_fault, error.errors()))) from error


def new(
    file: Path, name: str, models: tuple[str, ...] | None, requests_per_minute: int | None
) -> tuple[str, ApiKey]:
    """Add a key and return it, with what the file says about it.

    Raises:
        KeyNameTaken: If another key has this name.
        CatalogueInvalid: If a value is not allowed, or the file has faults.
    """
    key = _PREFIX + secrets.token_urlsafe(_BYTES)
    with _changing(file) as keys:
        if name in {OWN, UNKNOWN, *(each.name for each in keys)}:
            raise KeyNameTaken(name)
        try:
            made = ApiKey(
                name=name,
                sha256=hashlib.sha256(key.encode()).hexdigest(),
                hint=key[-_HINT:],
                models=models,
                requests_per_minute=requests_per_minute,
                created=datetime.now(UTC),
            )
        except ValidationError as error:
            raise CatalogueInvalid("the key", tuple(map(_fault, error.errors()))) from error
        keys.append(made)
    return key, made


def revoke(file: Path, name: str) -> ApiKey:
    """Remove a key and return what was known about it.

    Raises:
        SourceMissing: If no key has this name.
    """
    with _changing(file) as keys:
        found = next((each for each in keys if each.name == name), None)
        if found is None:
            raise SourceMissing(f"a key named {name!r} in {file}", "see `slipway keys list`")
        keys.remove(found)
    return found


@contextmanager
def _changing(file: Path) -> Iterator[list[ApiKey]]:
    """Yield the keys of a file, and write what they are afterwards; one process at a time."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_name(f"{file.name}.lock")):
        keys = list(read(file).keys)
        yield keys
        document = ApiKeys(keys=tuple(keys)).model_dump(mode="json")
        text = json.dumps(document, indent=2) + "\n"
        _require_small(file, len(text))
        write(file, text)


def _require_small(file: Path, size_bytes: int) -> None:
    if size_bytes > _MOST_BYTES:
        fault = f"has more than {_MOST_BYTES} bytes; revoke keys that nobody uses"
        raise CatalogueInvalid(str(file), (fault,))


def _own(home: Path) -> ApiKey:
    digest = hashlib.sha256(own_key(home).encode()).hexdigest()
    return ApiKey(name=OWN, sha256=digest, created=datetime.now(UTC))


def _identity(file: Path) -> tuple[int, int, int] | None:
    """Return what differs after a file was written; None if there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _fault(fault: ErrorDetails) -> str:
    place = ".".join(map(str, fault["loc"])) or "the file"
    return f"{place}: {fault['msg'].removeprefix('Value error, ')}"
