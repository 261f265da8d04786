"""What ``slipway up`` does about a part that ends by itself."""

import errno
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from deployments import supervisor
from deployments.services import Service
from deployments.supervisor import Supervisor
from slipway.errors import StepCrashed
from slipway.settings import Settings
from slipway.system.network import is_taken
from tests.support.network import free_port

#: A server whose work is done by a child, as MLflow's and Prefect's is.
PARENT = """
import subprocess, sys
port, notes = sys.argv[1:]
child = subprocess.Popen([sys.executable, "-m", "http.server", port, "--bind", "127.0.0.1"])
open(notes, "a").write(f"{child.pid}\\n")
child.wait()
"""


def part_of(folder: Path) -> Service:
    """Return such a server."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    return Service(
        name="server",
        title="a server",
        command=("-c", PARENT, str(port), str(folder / "children")),
        url=url,
        listens=url,
        setting="SLIPWAY_SERVER_URL",
        health_path="",
    )


def short_part(folder: Path) -> Service:
    """Return one that ends at once."""
    return part_of(folder).model_copy(update={"command": ("-c", "pass")})


def look_until(
    is_done: Callable[[], bool], looker: Supervisor, part: Service, told: list[str]
) -> None:
    """Look after a part until something holds, for 20 seconds at most."""
    deadline = time.monotonic() + 20
    while not is_done():
        assert time.monotonic() < deadline, told
        looker.look_after((part,))
        time.sleep(0.05)


def test_a_part_that_was_killed_leaves_nobody_on_its_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its child would go on answering, with the settings of before, and nothing could start."""
    monkeypatch.setattr(supervisor, "_RESTART_SECONDS", 0.0)
    part, told = part_of(tmp_path), list[str]()
    with Supervisor(Settings(home=tmp_path), lambda _, words: told.append(words)) as looker:
        looker.start(part)
        looker.wait_for(part)
        look_until((tmp_path / "children").is_file, looker, part, told)
        (orphan,) = _children(tmp_path)
        orphan.parent().kill()

        def is_back() -> bool:
            return told.count("starting") >= 2 and len([t for t in told if "ready" in t]) >= 2

        look_until(is_back, looker, part, told)

        assert [words for words in told if words.startswith("ended by itself: ")] != []
        assert [child.pid for child in _children(tmp_path)] != [orphan.pid]
    assert not is_taken(part.url)


def test_a_part_whose_log_was_deleted_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clean-up deletes the log of one that was silent for a month."""
    monkeypatch.setattr(supervisor, "_RESTART_SECONDS", 0.0)
    part, told = short_part(tmp_path), list[str]()
    with Supervisor(Settings(home=tmp_path), lambda _, words: told.append(words)) as looker:
        looker.start(part)
        looker.log(part.name).unlink()

        look_until(lambda: told.count("starting") >= 2, looker, part, told)

    assert told[1] == "ended by itself: no output"


def test_a_service_is_started_again_once_the_machine_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then each look fails, and nothing is reported twice."""
    monkeypatch.setattr(supervisor, "_RESTART_SECONDS", 0.0)
    part, told = short_part(tmp_path), list[str]()
    with Supervisor(Settings(home=tmp_path), lambda _, words: told.append(words)) as looker:
        looker.start(part)
        looker._processes[part.name].wait(20)
        with monkeypatch.context() as poor:
            poor.setattr(subprocess, "Popen", _without_memory)
            for _ in range(3):
                with pytest.raises(OSError, match="Cannot allocate memory"):
                    looker.look_after((part,))
        looker.look_after((part,))

    assert told == ["starting", "ended by itself: no output", "starting"]


def _without_memory(*_: object, **_options: object) -> None:
    raise OSError(errno.ENOMEM, "Cannot allocate memory")


def test_a_command_that_fails_is_reported_and_leaves_the_services_alone(tmp_path: Path) -> None:
    """As applying a catalogue whose models Prefect refuses."""
    with Supervisor(Settings(home=tmp_path), lambda *_: None) as looker:
        with pytest.raises(StepCrashed, match="no such model"):
            looker.run("apply", ("-c", "raise SystemExit('no such model')"), dict(os.environ))

        looker.look_after(())


def _children(folder: Path) -> list[psutil.Process]:
    pids = map(int, (folder / "children").read_text(encoding="utf-8").split())
    return [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]


def test_a_log_is_rotated_while_its_service_writes_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that was written is lost but the oldest copy, and its service notices nothing."""
    monkeypatch.setattr(supervisor, "LOG_BYTES", 10)
    log = tmp_path / "up-server.log"
    with log.open("ab", buffering=0) as service:
        for line in (
            b"one and one\n",
            b"two and two\n",
            b"3\n",
            b"three and three\n",
            b"four, four\n",
        ):
            service.write(line)
            supervisor.rotate(log)
        service.write(b"five\n")

    kept = {
        path.name.removeprefix("up-server.log"): path.read_text() for path in tmp_path.iterdir()
    }
    assert kept == {
        "": "five\n",
        ".1": "four, four\n",
        ".2": "3\nthree and three\n",
        ".3": "two and two\n",
    }


def test_a_log_on_a_full_disk_is_emptied_without_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would grow for ever; the part of a copy that could be written goes too."""

    def fill(_log: Path, copy: Path) -> None:
        copy.write_bytes(b"a par")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(supervisor, "LOG_BYTES", 10)
    monkeypatch.setattr(shutil, "copyfile", fill)
    log = tmp_path / "up-server.log"
    log.write_bytes(b"a part of what was said\n")

    supervisor.rotate(log)

    assert [*tmp_path.iterdir()] == [log]
    assert log.read_bytes() == b""
