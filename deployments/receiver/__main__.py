"""``python -m deployments.receiver --host 127.0.0.1 --port 8090``."""

import argparse
import logging
import sys

import uvicorn

from deployments.receiver.app import create_app
from deployments.receiver.hooks import ReceiverSettings
from slipway.errors import SlipwayError
from slipway.system.connections import SERVER_LIMITS, allow_many_files


def main() -> int:
    """Serve until stopped; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m deployments.receiver", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s receiver: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        app = create_app(ReceiverSettings())
    except SlipwayError as error:
        sys.stderr.write(f"receiver: {error}\n")
        return error.exit_code
    allow_many_files()
    uvicorn.run(
        app,
        host=options.host,
        port=options.port,
        access_log=False,
        log_config=None,
        **SERVER_LIMITS,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
