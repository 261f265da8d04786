"""``slipway variants`` shows what a repository publishes, and what a recipe would select of it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from commands.main import run
from tests.support.acme_models import ARTIFACT, FAST, ONNX_REPO, REPO, SLOW
from tests.support.hub import LocalHub, RunningHub
from tests.support.project import PROJECT

Slipway = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def slipway(running: RunningHub, tmp_path: Path) -> Slipway:
    """Return what runs ``slipway variants`` with the local Hub in place of the public one."""

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        home = {"HF_HOME": str(tmp_path / "client"), "SLIPWAY_HOME": str(tmp_path / "home")}
        variables = {"HF_ENDPOINT": running.endpoint, "COLUMNS": "160"}
        return subprocess.run(
            [sys.executable, "-m", "slipway", "variants", *arguments],
            cwd=PROJECT,
            env=os.environ | home | variables,
            capture_output=True,
            text=True,
            check=False,
        )

    return command


def test_a_repository_is_shown_as_a_table(acme: LocalHub, slipway: Slipway) -> None:
    """A row a folder, with what was read of it; and nothing else on either stream."""
    commit = acme.repository(ONNX_REPO).resolve("main").id

    done = slipway(ONNX_REPO)

    title, headings, *rows = [line.split() for line in done.stdout.splitlines()]
    assert title == ["Variants", "of", f"{ONNX_REPO}@{commit[:8]}"]
    assert " ".join(headings) == "folder target precision method block level model size"
    assert rows == [
        [SLOW, "cpu", "int4", "rtn", "-", "-", "-", "0", "MB"],
        [FAST, "cpu", "int4", "rtn", "32", "4", "-", "0", "MB"],
    ]
    assert (done.returncode, done.stderr) == (0, "")


def test_the_variant_that_a_recipe_selects_is_shown(slipway: Slipway) -> None:
    """By the rules of a release; the folder can be copied from the line."""
    done = slipway(ONNX_REPO, "--target", "cpu", "--precision", "int4")

    assert done.stdout.splitlines()[-1] == f"cpu int4 selects {FAST}"
    assert done.returncode == 0


def test_a_recipe_that_selects_nothing_is_bad_input(slipway: Slipway) -> None:
    """The table is shown all the same, and the error is one line that lists the folders."""
    done = slipway(ONNX_REPO, "--target", "cuda", "--precision", "int4")

    [line] = done.stderr.splitlines()
    assert line.startswith(f"slipway: {ONNX_REPO}: no single variant for cuda int4; it has {SLOW}")
    assert FAST in done.stdout
    assert done.returncode == 2


def test_a_script_gets_one_document(acme: LocalHub, slipway: Slipway) -> None:
    """With the folder that a recipe would select, or none without a recipe."""
    chosen, listed = (
        slipway(ONNX_REPO, "--precision", "int4", "--json"),
        slipway(ONNX_REPO, "--json"),
    )

    document = json.loads(chosen.stdout)
    assert document["repo"] == ONNX_REPO
    assert document["commit"] == acme.repository(ONNX_REPO).resolve("main").id
    assert [each["folder"] for each in document["variants"]] == [SLOW, FAST]
    assert document["selected"] == FAST
    assert json.loads(listed.stdout) == document | {"selected": None}


def test_an_error_is_one_document_for_a_script(slipway: Slipway) -> None:
    """And no table before it."""
    done = slipway(ONNX_REPO, "--precision", "int8", "--json")

    document = json.loads(done.stdout)
    assert (document["error"], document["exit_code"]) == ("NoVariant", 2)
    assert done.returncode == 2


def test_an_older_commit_can_be_listed(acme: LocalHub, slipway: Slipway) -> None:
    """A ref names it, as in a recipe."""
    before = acme.repository(ONNX_REPO).resolve("main").id
    files = {name: content for name, content in ARTIFACT.items() if name != "tokenizer.json"}
    acme.push(ONNX_REPO, files)

    now, then = slipway(ONNX_REPO), slipway(ONNX_REPO, "--ref", before)

    [row] = now.stdout.splitlines()[2:]
    assert row.split() == [".", "cpu", *"-----", "lacks", "tokenizer.json"]
    assert FAST in then.stdout


@pytest.mark.parametrize(
    ("repo", "text"),
    [
        ("tiny", "repository tiny was not found: name it as organisation/name"),
        ("a/b/c", "repository a/b/c was not found: name it as organisation/name"),
        (
            "acme/nowhere",
            "repository acme/nowhere was not found: check the name; set HF_TOKEN if it is private",
        ),
    ],
)
def test_an_invalid_repository_name_is_an_error(slipway: Slipway, repo: str, text: str) -> None:
    """On one line, with exit code 2."""
    done = slipway(repo, "--precision", "int4")

    assert done.stderr == f"slipway: {text}\n"
    assert (done.returncode, done.stdout) == (2, "")


def test_a_repository_without_variants_is_an_empty_table(slipway: Slipway) -> None:
    """Looking is no error; selecting is."""
    looked, selected = slipway(REPO), slipway(REPO, "--precision", "int4")

    assert (looked.returncode, selected.returncode) == (0, 2)
    assert "it has no folder with a genai_config.json" in selected.stderr


def test_a_password_in_the_hubs_address_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The address would be shown when the Hub does not answer."""
    monkeypatch.delenv("SLIPWAY_AUTH", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://ann:a-password@127.0.0.1:9")

    assert run(["variants", ONNX_REPO]) == 2

    said = capsys.readouterr().err
    assert "HF_ENDPOINT" in said
    assert "a-password" not in said
