"""A registry with thousands of releases of one model, for what must not grow with their number.

Two releases are made by the registry itself. The others are copies of the second one's rows in
MLflow's database, which takes seconds instead of an hour.
"""

import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from slipway.registry import Registry
from slipway.tracking.tags import AT, PENDING_EVENT
from slipway.values import Release, registered_names
from tests.support.fake_registry import FakeRegistry

#: Numbers of the copied version and of the one before it, which occur nowhere else in its rows.
_COPIED, _BEFORE = 770_002, 770_001
_SECONDS_APART = 60
_BY_VERSION = ("model_versions", "model_version_tags")
_BY_RUN = ("runs", "tags")
_BY_MODEL = ("logged_models", "logged_model_tags")
_KEY = "key-of-the-copied-release"


def fill(model: FakeRegistry, releases: int) -> str:
    """Release a model that has no release yet so often, each after the one before.

    Args:
        model: In a registry whose database is a file of SQLite.
        releases: Two or more. The last one is champion.

    Returns:
        The key of the last one.
    """
    first = model.release("first")
    with closing(_database(model.registry)) as database:
        _next_version(database, model.model, _BEFORE)
        before, copied = model.release("before"), model.release(_KEY)
        rows = list(_rows(database, copied))
        _remove(database, copied)
        _remove(database, before)
        query = "DELETE FROM model_versions WHERE version = ?"
        database.execute(query, (_BEFORE - 1,))  # of _next_version
        _shift(database, first, _SECONDS_APART * releases)
        for number in range(2, releases + 1):
            _insert(database, rows, number, _SECONDS_APART * (releases - number))
        _set_aliases(database, releases)
        database.commit()
    return f"{_KEY}-{releases}"


def _database(registry: Registry) -> sqlite3.Connection:
    database = sqlite3.connect(registry.location.uri.removeprefix("sqlite:///"))
    database.row_factory = sqlite3.Row
    return database


def _next_version(database: sqlite3.Connection, model: str, number: int) -> None:
    """Let MLflow give the next version of both models this number."""
    for name in registered_names(model):
        (row,) = database.execute("SELECT * FROM model_versions WHERE name = ?", (name,))
        _insert_row(database, "model_versions", dict(row) | {"version": number - 1})
    database.commit()


def _places(release: Release) -> tuple[tuple[tuple[str, str], str, tuple[str | int, ...]], ...]:
    """Return the tables that hold a release, the column that names it, and how."""
    versions, promotion = release.versions, release.promotion
    assert promotion
    return (
        (_BY_VERSION, "version", (versions.onnx.version,)),
        (_BY_RUN, "run_uuid", (versions.run_id, promotion.run_id)),
        (_BY_MODEL, "model_id", tuple(each.model_id for each in versions.wrappers)),
    )


def _rows(database: sqlite3.Connection, copied: Release) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every row of a release, and the name of its table; none says that an event waits."""
    for tables, column, values in _places(copied):
        for table in tables:
            for value in values:
                found = database.execute(f"SELECT * FROM {table} WHERE {column} = ?", (value,))  # noqa: S608
                yield from ((table, dict(row)) for row in found if _is_kept(dict(row)))


def _is_kept(row: Mapping[str, Any]) -> bool:
    return row.get("key") != PENDING_EVENT


def _remove(database: sqlite3.Connection, release: Release) -> None:
    """Delete what MLflow keeps of a release."""
    for tables, column, values in _places(release):
        for table in tables[::-1]:
            for value in values:
                database.execute(f"DELETE FROM {table} WHERE {column} = ?", (value,))  # noqa: S608


def _shift(database: sqlite3.Connection, first: Release, seconds: int) -> None:
    """Let the first release have been made earlier, without an event that waits."""
    assert first.promotion
    for run in (first.versions.run_id, first.promotion.run_id):
        query = "UPDATE runs SET start_time = start_time - ? WHERE run_uuid = ?"
        database.execute(query, (seconds * 1000, run))
        query = "UPDATE tags SET value = ? WHERE key = ? AND run_uuid = ?"
        database.execute(query, (_at(seconds), AT, run))
    database.execute("DELETE FROM model_version_tags WHERE key = ?", (PENDING_EVENT,))


def _at(seconds: int) -> str:
    return datetime.fromtimestamp(datetime.now(UTC).timestamp() - seconds, UTC).isoformat()


def _insert(
    database: sqlite3.Connection,
    rows: Iterable[tuple[str, Mapping[str, Any]]],
    number: int,
    seconds: int,
) -> None:
    """Write the rows of one release, made so many seconds ago."""
    rows = list(rows)
    ids = {row[name] for _, row in rows for name in ("run_uuid", "model_id") if name in row}
    texts = {each: _fresh(each) for each in ids}
    texts |= {_KEY: f"{_KEY}-{number}", str(_COPIED): str(number), str(_BEFORE): str(number - 1)}
    for table, row in rows:
        copy = {name: _replaced(value, texts) for name, value in row.items()}
        if "start_time" in copy:
            copy["start_time"] -= seconds * 1000
        if copy.get("key") == AT:
            copy["value"] = _at(seconds)
        if "version" in copy:
            copy["version"] = number
        _insert_row(database, table, copy)


def _fresh(identity: str) -> str:
    prefix = "m-" if identity.startswith("m-") else ""
    return f"{prefix}{uuid.uuid4().hex}"


def _replaced(value: Any, texts: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for before, after in texts.items():
            value = value.replace(before, after)
    return value


def _insert_row(database: sqlite3.Connection, table: str, row: Mapping[str, Any]) -> None:
    places = ", ".join("?" * len(row))
    columns = ", ".join(f'"{name}"' for name in row)
    query = f"INSERT INTO {table} ({columns}) VALUES ({places})"  # noqa: S608
    database.execute(query, tuple(row.values()))


def _set_aliases(database: sqlite3.Connection, champion: int) -> None:
    for alias, version in {"candidate": 0, "champion": 0, "previous": 1}.items():
        query = "UPDATE registered_model_aliases SET version = ? WHERE alias = ?"
        database.execute(query, (champion - version, alias))
