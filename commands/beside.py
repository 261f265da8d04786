"""``slipway beside``: serve a second version; a page shows both side by side."""

import os
from pathlib import Path
from typing import Literal

from commands import console
from commands.options import Port, VersionNumber
from commands.serve import run_server
from slipway.errors import AlreadyServed, NotServed, SourceMissing
from slipway.redeploy import model_server
from slipway.serving import memory, server_file
from slipway.serving.page import BESIDE
from slipway.serving.protocol import Pointer
from slipway.serving.server_file import Address
from slipway.settings import Settings
from slipway.system.network import LOOPBACK, host_and_port
from slipway.tracking.tag_values import VersionTags

_NAMES = (LOOPBACK, "localhost")
_REMEDY = "close something, or ask it alone: `slipway predict MODEL TEXT --candidate`"


def beside(
    model: str,
    other: Literal["candidate", "previous"] | VersionNumber = "candidate",
    *,
    port: Port = 0,
) -> int:
    """Serve another version until Ctrl-C; the page of the running model server shows both.

    Args:
        model: Name of a model that is being served from this home.
        other: The alias or the number of the version to show beside the served one.
        port: Port of the second version; 0 takes a free one.
    """
    settings = Settings()
    folder = settings.server_folders / model
    page, served = _served(model, folder, settings.serving_url)
    version, found = _version(model, other, served, settings)
    if running := model_server.find(folder / BESIDE):
        raise AlreadyServed(f"a version of {model} beside v{served}", running.url)
    size_bytes = found.release.versions.onnx.size_bytes if found.release else 0
    what = f"serving {model} v{version} beside v{served}"
    memory.require_free(what, memory.loaded_bytes(size_bytes), _REMEDY)
    model_server.set_version(folder / BESIDE, model, version)
    return run_server(
        model_server.command(folder / BESIDE, port=port, workers=1),
        os.environ | {"SLIPWAY_ALLOWED_ORIGINS": _page_origins(page, settings)},
        folder / BESIDE / server_file.SERVER,
        lambda server: _show(Pointer(model=model, version=version), page, server, found),
    )


def _served(model: str, folder: Path, url: str) -> tuple[str, int]:
    """Return where this home's page of the model is, and the version that is served there."""
    address = model_server.awaited(folder, model, url)
    ready = model_server.ready_worker(address) if address else None
    if address is None or ready is None:
        raise NotServed(model)
    return (server_file.public_address(folder) or address).url, ready.version


def _version(
    model: str, other: str | int, served: int, settings: Settings
) -> tuple[int, VersionTags]:
    """Return the version that is asked for, if it exists and is another than the served one."""
    from slipway.registry import open_registry

    registry = open_registry(settings)
    version = registry.aliases(model).get(other) if isinstance(other, str) else other
    found = registry.state(model, version) if version else None
    if version is None or found is None or version == served:
        what = f"a version {other} of {model} beside the served v{served}"
        raise SourceMissing(what, f"`slipway status {model}` lists the versions")
    return version, found


def _page_origins(page: str, settings: Settings) -> str:
    """Return the origins of the one page that may use the second server."""
    port, listens = host_and_port(page)[1], settings.listens_at("serving")
    found = {settings.serving_url} if host_and_port(listens)[1] == port else set()
    return ",".join(sorted({page, *(f"http://{name}:{port}" for name in _NAMES), *found}))


def _show(pointer: Pointer, page: str, server: Address, found: VersionTags) -> None:
    lines = {
        "both on a page": f"{page}/",
        "its own address": f"{server.url}/v1",
    }
    if found.state == "pending":
        lines["decide"] = f"slipway approve {pointer.model} --reason TEXT (or with --reject)"
    console.facts(f"{pointer} is serving; Ctrl-C stops it", lines)
