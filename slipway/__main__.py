"""``python -m slipway``: the command line.

The core does not know ``commands``; this file is where both meet.
"""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        sys.path[0] = __file__.rpartition("/slipway/")[0]  # was the current folder
    from importlib import import_module

    sys.exit(import_module("commands.main").main())
