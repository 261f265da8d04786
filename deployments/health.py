"""``python -m deployments.health NAME``: asks a service of this machine where it listens.

The exit code is 0 if it answers. Containers are checked this way.
"""

import sys

from deployments.services import named
from slipway.settings import Settings
from slipway.system.network import answers, host_and_port, host_in_url


def main(name: str) -> int:
    """Return 0 if the service answers, and 1 if not."""
    service = named(name, Settings())
    host, port = host_and_port(service.listens)
    return 0 if answers(f"http://{host_in_url(host)}:{port}{service.health_path}") else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
