"""``slipway hub``: a Hub on this machine, for trying the line without a network."""

import time
from pathlib import Path

from commands import console
from slipway.errors import SourceMissing


def serve(folder: Path, *, port: int = 8092) -> int:
    """Serve every ORG/NAME folder below a folder as a repository of a Hub, on loopback.

    Args:
        folder: Holds one folder an organisation, and in it one folder a model.
        port: Where it listens; 0 takes a free one.
    """
    from slipway.hub_server import serve_folder

    if not folder.is_dir():
        raise SourceMissing(f"folder {folder}", "name a folder that holds ORG/NAME folders")
    with serve_folder(folder, port=port) as running:
        repositories = sorted(f"{path.parent.name}/{path.name}" for path in folder.glob("*/*/"))
        console.facts(
            "A Hub on this machine; Ctrl-C stops it",
            {"use it": f"HF_ENDPOINT={running.endpoint}", "has": ", ".join(repositories) or "none"},
        )
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            print("stopped")
    return 0
