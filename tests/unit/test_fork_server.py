"""What a server imports before it forks children."""

import pytest

from slipway.system import fork_server
from slipway.system.process import environment
from tests.support.project import printed_by

_IMPORTS = """\
import importlib, os
for module in {modules}:
    importlib.import_module(module)
print(len(os.listdir("/proc/self/task")))
"""


@pytest.mark.parametrize("modules", sorted(set(fork_server.PRELOADED.values())), ids=lambda m: m[0])
def test_no_import_starts_a_thread(modules: tuple[str, ...]) -> None:
    """A process with two threads is not forked, and each call would import all of it again."""
    variables = environment("fork-server") | fork_server._ONE_THREAD

    assert printed_by(_IMPORTS.format(modules=modules), variables) == "1\n"
