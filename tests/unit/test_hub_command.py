"""``slipway hub serve``: a folder becomes a Hub that the unmodified client reads."""

import inspect
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from huggingface_hub import HfApi


def test_a_folder_is_served_until_it_is_stopped(tmp_path: Path) -> None:
    """The command says what to put into HF_ENDPOINT, and Ctrl-C ends it well."""
    (tmp_path / "acme" / "tiny").mkdir(parents=True)
    (tmp_path / "acme" / "tiny" / "config.json").write_text("{}", encoding="utf-8")
    code = "import sys; from commands.main import run; sys.exit(run(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "hub", "serve", str(tmp_path), "--port", "0"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"COLUMNS": "200"}
    )
    try:
        assert process.stdout is not None
        lines = (line for line in process.stdout if "HF_ENDPOINT=" in line)
        found = re.search(r"HF_ENDPOINT=(http://127\.0\.0\.1:\d+)", next(lines))
        assert found is not None
        siblings = HfApi(endpoint=found[1]).model_info("acme/tiny").siblings
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0

    assert siblings is not None
    assert [file.rfilename for file in siblings] == ["config.json"]


def test_a_folder_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    """The line says what kind of folder is wanted."""
    from commands.main import run

    assert run(["hub", "serve", str(tmp_path / "nowhere")]) == 2


def test_its_port_is_none_that_another_server_of_ours_takes() -> None:
    """A Hub is tried beside ``slipway up``, whose receiver and worker listen next to it."""
    from commands.hub import serve
    from slipway.ports import host_and_port
    from slipway.settings import Settings

    addresses = {name: field.default for name, field in Settings.model_fields.items()}
    taken = {host_and_port(url)[1] for name, url in addresses.items() if name.endswith("_url")}

    assert len(taken) == 5
    assert inspect.signature(serve).parameters["port"].default not in taken
