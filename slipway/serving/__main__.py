"""``python -m slipway.serving``: the server that ``slipway serve`` and redeploys start.

It writes ``server.json`` (pid, host, port, workers) beside the pointer file once it listens, and
removes it when it ends. On SIGHUP its workers are replaced one by one and read the pointer again.
"""

import argparse
import sys
from pathlib import Path

from slipway.errors import SlipwayError
from slipway.settings import disable_telemetry


def main(arguments: list[str]) -> int:
    """Run one server and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m slipway.serving", description=__doc__)
    parser.add_argument("--pointer", type=Path, required=True, help="JSON file: model and version")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one")
    parser.add_argument("--workers", type=int, default=2, help="each holds a copy of the weights")
    options = parser.parse_args(arguments)
    disable_telemetry()
    from slipway.serving.supervisor import serve

    try:
        return serve(options.pointer, options.host, options.port, options.workers)
    except SlipwayError as error:
        print(f"slipway: {error}", file=sys.stderr)  # noqa: T201 - the command line prints
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
