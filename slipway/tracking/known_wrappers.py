"""The ONNX wrappers that may be executed: this checkout's, and those that it released before.

A wrapper is code that a registered version brings along, and its digest is a tag that may be
edited. So the digest must also stand here.
"""

from pathlib import Path

from slipway.errors import VersionRefused
from slipway.system.store import sha256

#: Name of the wrapper in its folder and in a logged model.
FILE = "onnx_genai.py"

#: Beside it: a SHA-256 in each line, and what it belongs to, as ``sha256sum`` prints it.
LIST = "known.sha256"


def known(folder: Path) -> set[str]:
    """Return the SHA-256 of every wrapper that may be executed.

    Args:
        folder: Has the wrapper, and the list if there were others.
    """
    file = folder / LIST
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    listed = {line.split()[0] for line in lines if line.strip() and not line.startswith("#")}
    return listed | {sha256(folder / FILE)}


def require(who: str, digest: str, folder: Path) -> None:
    """Check that a version's wrapper is known.

    Raises:
        VersionRefused: If it is not; nothing of the version is executed.
    """
    if digest not in known(folder):
        reason = f"its wrapper {digest[:12]}… is none that Slipway released"
        remedy = f"if the wrapper is yours, add its SHA-256 to {LIST} beside {FILE}"
        raise VersionRefused(who, reason, remedy)
