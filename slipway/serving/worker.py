"""A worker of a model server, which tells at once, and for certain, that it is ready.

It is a module of its own since each worker imports it before anything else.
"""

import contextlib
import socket

from uvicorn.supervisors.multiprocess import Process


class Worker(Process):
    """A worker as uvicorn 0.54 makes it, but for two faults.

    - uvicorn takes one answer for each time that it asks whether a worker is ready. What it asked
      while the process could not answer yet is answered later, so the news comes late.
    - The thread that answers and the one that serves may each make a server object. Then the answer
      may be that of the object which never starts.
    """

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve; the property makes the server object before another thread can."""
        _ = self.server
        super().target(sockets)

    def is_ready(self, timeout: float = 5) -> bool:
        """Return the last of the answers that have come within ``timeout`` seconds."""
        ready = super().is_ready(timeout)
        with contextlib.suppress(OSError, EOFError):
            while self.parent_conn.poll():
                ready = self.parent_conn.recv()
        return ready
