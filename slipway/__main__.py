"""``python -m slipway``: the command line.

The core does not import ``commands``. The installed distribution names what ``slipway`` runs.
"""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        sys.path[0] = __file__.rpartition("/slipway/")[0]  # was the current folder
    from importlib.metadata import entry_points

    (command,) = entry_points(group="console_scripts", name="slipway")
    sys.exit(command.load()())
