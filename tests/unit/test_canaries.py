"""The search for secrets finds those that are there: in files, in databases and in processes."""

import gzip
import json
import sqlite3
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support import secret_canaries


@pytest.mark.parametrize(
    "leak",
    [
        pytest.param(lambda secret: f"at http://ann:{secret}@hub: 401".encode(), id="an address"),
        pytest.param(lambda secret: b64encode(f"operator:{secret}".encode()), id="a header"),
        pytest.param(lambda secret: json.dumps({"x": repr(f'"{secret}')}).encode(), id="JSON"),
        pytest.param(lambda secret: quote(f"hf {secret}/").encode(), id="a query"),
        pytest.param(lambda secret: gzip.compress(secret.encode()), id="a packed file"),
    ],
)
def test_a_planted_leak_is_found(leak: Callable[[str], bytes], tmp_path: Path) -> None:
    """Or the search would prove nothing: in a file, and in a row that is scattered over pages."""
    secret, other = secret_canaries.kernel(), secret_canaries.kernel()
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "allowed").write_text(other, encoding="utf-8")
    (tmp_path / "some.log").write_bytes(b"before " + leak(secret) + b" after")
    with closing(sqlite3.connect(tmp_path / "some.db")) as database:
        database.execute("create table runs (tags text)")
        long = "x" * 4085 + leak(secret).decode("latin-1")
        database.execute("insert into runs values (?)", (long,))
        database.commit()

    found = secret_canaries.hits(
        secret_canaries.written(tmp_path, tmp_path / "secrets"),
        {"planted": secret, "allowed": other},
    )

    assert {name for name, _ in found} == {"planted"}
    assert any(where.startswith("some.log") for _, where in found)
    assert leak(secret)[:2] == b"\x1f\x8b" or ("planted", "some.db rows") in found


def test_a_leak_to_a_process_is_found() -> None:
    """Whether it is in its environment or on its command line."""
    inherited, told = secret_canaries.kernel(), secret_canaries.kernel()

    with secret_canaries.watched() as witness:
        command = [sys.executable, "-c", "import time; time.sleep(1)", told]
        subprocess.run(command, env={"HIDDEN": inherited}, check=True)

    found = secret_canaries.hits(witness.seen, {"inherited": inherited, "told": told})
    assert {name for name, _ in found} == {"inherited", "told"}
