"""The page at ``/``, and ``slipway beside``, which gives it a second version to show."""

import base64
import hashlib
import json
import os
import re
from pathlib import Path

import httpx
import pytest

from commands.main import run
from slipway.serving import memory
from tests.support.model_servers import MODEL, Server


def test_the_page_is_one_file_that_loads_nothing(server: Server) -> None:
    """Its policy allows its own script and style, by their digests, and no other address."""
    answer = httpx.get(f"{server.url}/", timeout=10)

    policy = dict(
        each.split(" ", 1) for each in answer.headers["Content-Security-Policy"].split("; ")
    )
    assert answer.headers["Content-Type"].startswith("text/html")
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["connect-src"] == "'self'"
    for tag in ("script", "style"):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert policy[f"{tag}-src"] == f"'sha256-{digest}'"
    assert re.findall(r"https?://|innerHTML|localStorage|sessionStorage", answer.text) == []
    assert re.findall(r"<[^>]*\s(?:style|on\w+)=", answer.text) == []


def test_the_page_may_ask_the_server_beside_it_while_that_runs(server: Server) -> None:
    """The version beside is found in the folder; a file that a crash left is never followed."""
    file = server.pointer.with_name("beside") / "server.json"
    file.parent.mkdir()
    other = {"host": "127.0.0.1", "port": 4711, "workers": 1}
    try:
        file.write_text(json.dumps(other | {"pid": server.pid}), encoding="utf-8")
        listed = httpx.get(f"{server.url}/beside", timeout=10).json()
        policy = httpx.get(f"{server.url}/", timeout=10).headers["Content-Security-Policy"]
        file.write_text(json.dumps(other | {"pid": os.getpid()}), encoding="utf-8")
        taken = httpx.get(f"{server.url}/beside", timeout=10).json()
        file.write_text(json.dumps(other | {"pid": 2**22 + 1}), encoding="utf-8")
        gone = httpx.get(f"{server.url}/beside", timeout=10).json()
    finally:
        file.unlink(missing_ok=True)
        file.parent.rmdir()

    assert listed == [{"url": "http://127.0.0.1:4711"}]
    assert "connect-src 'self' http://127.0.0.1:4711;" in policy
    assert taken == gone == []


def test_nothing_is_served_beside_a_server_that_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names the command that starts one."""
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))

    assert run(["beside", "tiny"]) == 2

    assert capsys.readouterr().err == (
        "slipway: no model server of this home serves tiny; run `slipway serve tiny` first\n"
    )


@pytest.mark.usefixtures("found_by_commands")
@pytest.mark.parametrize("other", ["1", "77", "previous"])
def test_another_version_has_to_exist(capsys: pytest.CaptureFixture[str], other: str) -> None:
    """Nothing is started; the error says where the versions are listed."""
    assert run(["beside", MODEL, other]) == 2

    assert capsys.readouterr().err == (
        f"slipway: a version {other} of tiny beside the served v1 was not found: "
        "`slipway status tiny` lists the versions\n"
    )


@pytest.mark.usefixtures("found_by_commands")
def test_another_version_needs_memory(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is looked at before anything starts: the first version has to go on answering."""
    monkeypatch.setattr(memory, "_LIBRARY_BYTES", 10**15)

    assert run(["beside", MODEL, "2"]) == 1

    assert "serving tiny v2 beside v1 needs 1000000.0 GB of memory" in capsys.readouterr().err
