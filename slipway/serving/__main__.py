"""``python -m slipway.serving``: the server that ``slipway serve`` and redeploys start.

It writes ``server.json`` (pid, host, port, workers) beside the pointer file once it listens, and
removes it when it ends. On SIGHUP its workers are replaced one by one and read the pointer again.

With several pointer files, each model has such a server, and ``front.json`` says where all of them
are reached.
"""

import argparse
import sys
from pathlib import Path

from slipway.errors import SlipwayError
from slipway.libraries import disable_telemetry


def main(arguments: list[str]) -> int:
    """Run one server and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m slipway.serving", description=__doc__)
    parser.add_argument(
        "--pointer",
        type=Path,
        required=True,
        nargs="+",
        help="JSON file: model and version; of several models, each in a folder of its name",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=_port, default=8080, help="0 takes a free one")
    parser.add_argument(
        "--workers", type=_count, default=2, help="of each model; each holds a copy of the weights"
    )
    options = parser.parse_args(arguments)
    disable_telemetry()
    from slipway.serving import several, supervisor

    where = options.host, options.port, options.workers
    try:
        if len(options.pointer) > 1:
            return several.serve(tuple(options.pointer), *where)
        return supervisor.serve(options.pointer[0], *where)
    except SlipwayError as error:
        print(f"slipway: {error}", file=sys.stderr)  # noqa: T201 - the command line prints
        return error.exit_code


def _port(text: str) -> int:
    return _between(0, 65535, text)


def _count(text: str) -> int:
    return _between(1, 1024, text)


def _between(least: int, most: int, text: str) -> int:
    if not least <= int(text) <= most:
        expected = f"{text} is not between {least} and {most}"
        raise argparse.ArgumentTypeError(expected)
    return int(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
