"""Register releases in turn, each in the moment that another process does the same.

Takes a folder, the path of a JSON list of ``LogRequest``, the folder of its home, and the number of
processes. Writes a line for each release: what was registered, as JSON. Before each one it waits
until all processes are ready for it.
"""

import json
import os
import sys
import time
from pathlib import Path

from slipway.tracking import log_models
from tests.support.fake_registry import registry_at


def wait_for_all(folder: Path, number: int, processes: int) -> None:
    """Return when all processes have come so far."""
    (folder / f"ready-{number}-{os.getpid()}").touch()
    until = time.monotonic() + 60 * processes
    while len(list(folder.glob(f"ready-{number}-*"))) < processes:
        assert time.monotonic() < until, "another process did not come"
        time.sleep(0.005)


if __name__ == "__main__":
    folder, requests = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_bytes())
    for number, fields in enumerate(requests):
        request = log_models.LogRequest.model_validate(fields)
        registry = registry_at(request.location, Path(sys.argv[3]))
        wait_for_all(folder, number, int(sys.argv[4]))
        registered = registry.register_once(request, log_models.log)
        sys.stdout.write(f"{registered.model_dump_json()}\n")
