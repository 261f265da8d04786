"""The page at ``/``: one static file that chats with the served version, or with two side by side.

The second version has a server of its own (``slipway beside MODEL``), whose folder is below the
folder of the first. The browser asks both: the page's policy allows the second
server's address, and the second server allows the page's origin.
"""

import base64
import hashlib
import re
from pathlib import Path

from fastapi import Response

from slipway.serving import server_file
from slipway.values import Value

#: Folder of the second version's server, below the folder of the first.
BESIDE = "beside"

_FILE = Path(__file__).with_suffix(".html")


class Beside(Value):
    """A server of another version of the model, on this machine."""

    url: str


def beside(folder: Path) -> tuple[Beside, ...]:
    """Return the servers of other versions that run beside the server of ``folder``."""
    server = server_file.read(folder / BESIDE / server_file.SERVER)
    return (Beside(url=server.url),) if server else ()


def page(others: tuple[Beside, ...] = ()) -> Response:
    """Return the page, which may ask its own server and ``others``, and load nothing at all."""
    text = _FILE.read_text(encoding="utf-8")
    policy = {
        "default-src": "'none'",
        "script-src": _hash("script", text),
        "style-src": _hash("style", text),
        "img-src": "data:",
        "connect-src": " ".join(("'self'", *(other.url for other in others))),
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    headers = {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return Response(text, headers=headers, media_type="text/html")


def _hash(tag: str, text: str) -> str:
    """Return the source expression that allows the text of the page's one ``tag``."""
    (found,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(found.encode()).digest()).decode()}'"
