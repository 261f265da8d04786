"""``python -m slipway``: the command line.

The core does not import ``commands``. The installed distribution names what ``slipway`` runs.
"""

import sys
from importlib.metadata import entry_points

if __name__ == "__main__":
    (command,) = entry_points(group="console_scripts", name="slipway")
    sys.exit(command.load()())
