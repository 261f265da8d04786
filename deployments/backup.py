"""Saves what cannot be made again, and restores it: both databases, users, secrets, artifacts.

``python -m deployments.backup save FOLDER`` also works while the services run: the databases come
first, and files that they name are never changed afterwards. ``restore FOLDER`` fills a new
``SLIPWAY_HOME`` and empty databases, before the services start.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from sqlalchemy.engine import URL, make_url

from slipway.errors import DiskFailed, NotEmpty, SlipwayError, SourceMissing, StepCrashed
from slipway.settings import Settings
from slipway.system import disk
from slipway.system.secret_files import keep_private

_PREFECT = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
_DUMP = ("pg_dump", "--format=custom", "--no-owner", "--no-privileges")
#: SQLite's names of errors that say a database is damaged, or none.
_DAMAGED = {"SQLITE_CORRUPT", "SQLITE_NOTADB"}
_RESTORE = ("pg_restore", "--no-owner", "--no-privileges", "--exit-on-error")


def databases(settings: Settings, variables: Mapping[str, str]) -> dict[str, URL]:
    """Return the address of each database by the name of its copy."""
    default = f"sqlite:///{settings.home.resolve() / 'prefect' / 'prefect.db'}"
    return {
        "prefect": make_url(variables.get(_PREFECT) or default),
        "mlflow": make_url(settings.database),
        "users": make_url(f"sqlite:///{settings.mlflow / 'users.db'}"),
    }


def folders(settings: Settings) -> dict[str, Path]:
    """Return the folders of this machine to copy, by name; a bucket has a backup of its own."""
    secrets = {"secrets": settings.home.resolve() / "secrets"}
    is_here = "://" not in settings.artifacts
    return secrets | ({"artifacts": settings.artifacts_folder} if is_here else {})


def save(folder: Path, settings: Settings) -> None:
    """Write a backup into a new folder, which is there as a whole or not at all.

    Raises:
        NotEmpty: If the folder is there already.
        SourceMissing: If PostgreSQL's programs are not installed.
        StepCrashed: If one of them fails.
        DiskFailed: If the disk gets full, or is broken.
    """
    if folder.exists():
        raise NotEmpty(str(folder))
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    try:
        with disk.writing(folder.parent):
            partial.mkdir(parents=True)
            _write(partial, settings)
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(folder: Path, settings: Settings) -> None:
    for name, url in databases(settings, os.environ).items():
        copy = folder / name
        if not _is_file(url):
            _run(url, *_DUMP, f"--file={copy}")
        elif Path(str(url.database)).is_file():
            _copy_sqlite(Path(str(url.database)), copy)
    for name, source in folders(settings).items():
        if source.is_dir():
            shutil.copytree(source, folder / name)


def restore(folder: Path, settings: Settings) -> None:
    """Fill a new home and empty databases with a backup.

    Raises:
        SourceMissing: If the folder has no backup, or a part of it is damaged.
        NotEmpty: If the home has files that a backup would replace.
        StepCrashed: If a database is not empty; nothing was changed in it.
        DiskFailed: If the disk gets full, or is broken; nothing of it stays in the home.
    """
    if not (folder / "mlflow").is_file():
        remedy = "`python -m deployments.backup save FOLDER` makes one"
        raise SourceMissing(f"a backup in {folder}", remedy)
    targets = databases(settings, os.environ)
    files = [Path(str(url.database)) for url in targets.values() if _is_file(url)]
    filled = (*files, *folders(settings).values())
    for there in filled:
        if there.exists():
            raise NotEmpty(str(there))
    try:
        with disk.writing(settings.home):
            _read(folder, settings)
    except BaseException:
        for half in filled:
            half.unlink() if half.is_file() else shutil.rmtree(half, ignore_errors=True)
        raise


def _read(folder: Path, settings: Settings) -> None:
    for name, url in databases(settings, os.environ).items():
        copy = folder / name
        if not _is_file(url):
            _run(url, *_RESTORE, "--single-transaction", f"--dbname={url.database}", str(copy))
        elif copy.is_file():
            _copy_sqlite(copy, Path(str(url.database)))
    for name, target in folders(settings).items():
        if (folder / name).is_dir():
            shutil.copytree(folder / name, target)


def _is_file(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _copy_sqlite(source: Path, target: Path) -> None:
    """Copy a database that may be in use."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
            one.backup(other)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorname not in _DAMAGED:
            raise DiskFailed(str(target.parent), str(error)) from error
        remedy = f"SQLite says {str(error)!r}; use a backup of another day"
        raise SourceMissing(f"a whole database in {source}", remedy) from error


def _run(url: URL, *command: str) -> None:
    """Run a program of PostgreSQL; no other user may read the password in its environment."""
    found = {
        "PGHOST": url.host,
        "PGPORT": url.port,
        "PGUSER": url.username,
        "PGPASSWORD": url.password,
        "PGDATABASE": url.database,
    }
    variables = os.environ | {name: str(text) for name, text in found.items() if text}
    try:
        done = subprocess.run(command, env=variables, check=False)
    except FileNotFoundError as error:
        remedy = "install PostgreSQL's client programs, of the server's version or a later one"
        raise SourceMissing(command[0], remedy) from error
    if done.returncode:
        raise StepCrashed(command[0], f"exit status {done.returncode}", "its output above")


def main(action: str, folder: str) -> int:
    """Save or restore, and return the exit code; an error is printed as one line."""
    settings = Settings()
    keep_private(settings.home)
    try:
        {"save": save, "restore": restore}[action](Path(folder).resolve(), settings)
    except SlipwayError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"the system refused to {action} {folder}: {error}", file=sys.stderr)
        return 1
    if "://" in settings.artifacts:
        print(f"backup: the artifacts are in {settings.artifacts}, which has a backup of its own")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
