"""A registry and ``.slipway`` as an earlier version of Slipway wrote them, unpacked to a folder.

``recorded/registry.tar.gz`` was recorded with Slipway's commands at commit 3dec824 (MLflow 3.17.2),
before the tags had a format. It holds three models:

- ``tiny``: version 1 promoted, version 2 promoted and rolled back ("it answers in verse"), version
  3 promoted; a fourth release was rejected by the gate ``tokens_per_second``.
- ``tiny-manual``: version 1 approved ("read and good"), version 2 waits for approval.
- ``tiny-halted``: version 1 promoted; the process that promoted version 2 was killed after it had
  set four of six aliases.

The database is kept as SQL. ``@ROOT@`` and ``@HOST@`` stand for the folder and the machine.
"""

import socket
import sqlite3
import tarfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

_ARCHIVE = Path(__file__).parent / "recorded" / "registry.tar.gz"


def unpack(folder: Path) -> Path:
    """Unpack the recording into ``folder``, as if it was recorded there; return its home."""
    placeholders = {
        b"@ROOT@": str(folder.resolve()).encode(),
        b"@HOST@": socket.gethostname().encode(),
    }
    with tarfile.open(_ARCHIVE) as archive:
        for member in archive:  # the same bytes twice are a hard link, which is followed here
            file = archive.extractfile(member)
            assert file is not None
            content = file.read()
            for placeholder, text in placeholders.items():
                content = content.replace(placeholder, text)
            path = folder / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    script = folder / "home" / "mlflow" / "mlflow.sql"
    with closing(sqlite3.connect(script.with_name("mlflow.db"))) as database:
        database.executescript(script.read_text(encoding="utf-8"))
    script.unlink()
    return folder / "home"


def point_to(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Let Slipway's settings name what was unpacked into ``folder``."""
    patch.setenv("SLIPWAY_HOME", str(folder / "home"))
    patch.setenv("SLIPWAY_CATALOGUE", str(folder / "catalogue.toml"))
    patch.setenv("SLIPWAY_EXPECTATIONS", str(folder / "expectations"))


def begun_elsewhere(home: Path, age: timedelta) -> None:
    """Let the open record of ``tiny-halted`` name another machine, and an age."""
    at = (datetime.now(UTC) - age).isoformat()
    with closing(sqlite3.connect(home / "mlflow" / "mlflow.db")) as database:
        query = (
            "SELECT value FROM tags JOIN runs USING (run_uuid)"
            " WHERE key = 'slipway.at' AND status = 'RUNNING'"
        )
        before = database.execute(query).fetchone()
        database.execute("UPDATE tags SET value = ? WHERE value = ?", (at, *before))
        database.execute("UPDATE tags SET value = 'elsewhere' WHERE key = 'slipway.host'")
        database.commit()
