"""Secrets that a machine makes for itself."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from slipway.system.secret_files import keep_private, secret, write


def test_a_secret_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    """Another name is another secret; the same name is the same one for ever."""
    first = secret(tmp_path, "one")

    path = tmp_path / "secrets" / "one"
    assert secret(tmp_path, "one") == first != secret(tmp_path, "two")
    assert len(first) == 44
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_who_asks_at_the_same_time_gets_the_same(tmp_path: Path) -> None:
    """Parts start side by side, and one of them is the first."""
    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(lambda _: secret(tmp_path, "one"), range(64)))

    assert len(found) == 1
    assert [path.name for path in (tmp_path / "secrets").iterdir()] == ["one"]


def test_a_file_that_is_written_again_stays_private(tmp_path: Path) -> None:
    """Also where the one before was open to others."""
    path = tmp_path / "secrets" / "auth.ini"
    write(path, "old")
    path.chmod(0o644)

    write(path, "new")

    assert path.read_text(encoding="utf-8") == "new"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_home_of_before_is_closed_to_other_users(tmp_path: Path) -> None:
    """And whatever is written from then on, by this process or by its children."""
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    before = os.umask(0o022)
    try:
        keep_private(home)
        home.joinpath("mlflow").mkdir()
        home.joinpath("mlflow.db").touch()
        keep_private(tmp_path / "missing")
    finally:
        os.umask(before)

    modes = {path.name: path.stat().st_mode & 0o777 for path in (home, *home.iterdir())}
    assert modes == {"home": 0o700, "mlflow": 0o700, "mlflow.db": 0o600}
    assert not (tmp_path / "missing").exists()
