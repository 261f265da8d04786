"""Which servers of several models are started when."""

import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from slipway.redeploy import model_server
from slipway.serving import server_file, several
from slipway.serving.several import ModelGroup
from slipway.serving.supervisor import bound
from slipway.settings import Settings
from slipway.system import process as processes
from tests.support.model_servers import wait_until


class SleepingGroup(ModelGroup):
    """Starts processes that sleep as servers of two models, and measures no memory."""

    def _require_memory(self, *_: object) -> None:
        pass

    def running(self) -> list[str]:
        """Return the models whose servers are running."""
        children = self._children.items()
        return [folder.name for folder, child in children if folder and child.poll() is None]

    def listen(self, name: str) -> None:
        """Write where a server listens, as it does once its model is loaded."""
        (folder,) = (each for each in self._folders if each.name == name)
        pid = self._children[folder].pid
        wait_until(lambda: server_file.MODULE in psutil.Process(pid).cmdline(), 20)
        server_file.write(folder / server_file.SERVER, pid, self._listener, self._workers)

    def kill(self) -> None:
        """End every process."""
        for child in self._children.values():
            child.kill()
            child.wait()


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SleepingGroup]:
    """Return such a group, of which nothing has been started."""
    sleeping = [sys.executable, "-c", "import time; time.sleep(60)", server_file.MODULE]
    monkeypatch.setattr(processes, "command", lambda *_: sleeping)
    monkeypatch.setattr(several, "_RESTART_SECONDS", 0.0)
    folders = (tmp_path / "one", tmp_path / "two")
    for folder in folders:
        folder.mkdir()
        model_server.set_version(folder, folder.name, 1)
    with bound("127.0.0.1", 0) as listener:
        group = SleepingGroup(folders, listener, 1, Settings())
        yield group
        group.kill()


def test_a_server_is_started_once_the_one_before_has_loaded_its_model(group: SleepingGroup) -> None:
    """Until then the memory is free that the first one needs, and would be counted twice."""
    for _ in range(3):
        group.look_after()
    assert group.running() == ["one"]
    group.listen("one")
    group.look_after()
    assert group.running() == ["one", "two"]
    group.listen("two")

    group.kill()  # as Linux does when there is no memory left
    for _ in range(3):
        group.look_after()

    assert group.running() == ["one"]


def test_a_server_that_ends_while_it_loads_holds_up_no_other(group: SleepingGroup) -> None:
    """They take turns."""
    turns = []
    for _ in range(4):
        group.look_after()
        turns += group.running()
        group.kill()

    assert turns == ["one", "two", "one", "two"]
