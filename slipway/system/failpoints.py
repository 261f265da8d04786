"""Named points at which a test ends the process, as a power cut would.

After "gofail", https://github.com/etcd-io/gofail. In production the variable is not set.
"""

import os
import signal

VARIABLE = "SLIPWAY_FAILPOINT"


def failpoint(name: str) -> None:
    """Kill this process with SIGKILL if the environment names this point; else do nothing.

    Args:
        name: What was done or comes next, as ``step.before-what`` or ``step.after-what``.
    """
    if os.environ.get(VARIABLE) == name:
        os.write(2, f"slipway: killed at {name}\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)
