"""A clean-up of a real home: the dry run lists what the run frees, and what is live still works."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from commands.main import run
from flows.clean import clean
from slipway.clean import clean_up
from tests.support.project import Project

Said = pytest.CaptureFixture[str]
DAY = 24 * 3600
GATES = "[models.tiny.gates]"
SPAIN, MADRID = "What is the capital of Spain?", "The capital of Spain is Madrid."


def files(home: Path) -> dict[Path, int]:
    """Return the size of every file of a home that is no database and no lock.

    A second name of a file takes no space.
    """
    found = {
        path: path.stat()
        for path in sorted(home.rglob("*"))
        if path.is_file() and ".db" not in path.name and path.suffix != ".lock"
    }
    first = {each.st_ino: path for path, each in reversed(found.items())}
    return {path: each.st_size * (first[each.st_ino] == path) for path, each in found.items()}


def age(home: Path, days: float) -> None:
    """Let everything in a home, and in its registry, be as old as that."""
    import sqlite3

    for path in (home, *home.rglob("*")):
        found = path.lstat()
        os.utime(path, (found.st_atime - days * DAY, found.st_mtime - days * DAY))
    with sqlite3.connect(home / "mlflow" / "mlflow.db") as database:
        for table, column in (
            ("model_versions", "creation_time"),
            ("logged_models", "creation_timestamp_ms"),
        ):
            database.execute(f"UPDATE {table} SET {column} = {column} - {int(days * DAY * 1000)}")  # noqa: S608
    database.close()


def document(capsys: Said) -> Any:
    """Return what was printed, as JSON."""
    return json.loads(capsys.readouterr().out)


def test_without_a_rule_only_caches_go(released_project: Project, capsys: Said) -> None:
    """What was used in the last days stays; nothing of MLflow is touched."""
    assert run(["clean", "--dry-run", "--json"]) == 0
    assert document(capsys) == {"dry_run": True, "freed_bytes": 0, "gone": []}
    age(released_project.home, 40)
    before = files(released_project.home)

    assert run(["clean", "--json"]) == 0

    found, after = document(capsys), files(released_project.home)
    assert {each["kind"] for each in found["gone"]} == {"store", "copy", "log"}
    assert found["freed_bytes"] == sum(before.values()) - sum(after.values()) > 0
    kept = {path for path in before if "mlflow" in path.parts}
    assert kept <= after.keys()


@pytest.mark.slow
def test_what_the_dry_run_lists_is_what_a_run_frees(
    released_project: Project, capsys: Said
) -> None:
    """Of three releases, two stay and answer; a rollback works; what went is built again."""
    project, home = released_project, released_project.home
    for _ in range(2):
        assert run(["release", "tiny", "--force", "--json"]) == 0
    project.edit(GATES, f"[models.tiny.retention]\nversions = 1\n\n{GATES}")
    age(home, 40)
    capsys.readouterr()

    assert run(["clean", "--dry-run", "--json"]) == 0
    listed, before = document(capsys), files(home)
    assert run(["clean", "--json"]) == 0
    freed, after = document(capsys), files(home)

    assert freed["gone"] == listed["gone"]
    assert freed["freed_bytes"] == listed["freed_bytes"]
    assert freed["freed_bytes"] == sum(before.values()) - sum(after.values()) > 0
    gone = [each["name"] for each in freed["gone"] if each["kind"] == "version"]
    assert gone == ["models:/tiny/1"]
    assert run(["predict", "tiny", SPAIN]) == 0
    assert capsys.readouterr().out.strip() == MADRID
    assert run(["rollback", "tiny", "--reason", "it answers in verse"]) == 0
    assert project.registry().aliases("tiny")["champion"] == 2
    capsys.readouterr()
    assert run(["predict", "tiny", SPAIN]) == 0
    assert capsys.readouterr().out.strip() == MADRID
    assert run(["release", "tiny", "--force", "--json"]) == 0


def test_the_flow_deletes_what_its_dry_run_lists(released_project: Project) -> None:
    """As the schedule starts it; a second run finds nothing to do."""
    age(released_project.home, 40)
    released_project.edit(GATES, f"[models.tiny.retention]\n\n{GATES}")

    listed = clean(dry_run=True)
    freed = clean()

    assert [each.item.name for each in freed] == [each.item.name for each in listed] != []
    assert clean() == ()


def test_one_model_that_fails_holds_up_no_other(
    released_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run fails once the home is clean."""
    age(released_project.home, 40)
    released_project.edit(GATES, f"[models.tiny.retention]\n\n{GATES}")

    def fail(*_: object) -> Any:
        raise LookupError("it is on fire")

    monkeypatch.setattr(clean_up, "plan_model", fail)

    with pytest.raises(LookupError, match="on fire"):
        clean()

    assert [*(released_project.home / "store").glob("artifact-*/")] == []
