"""``slipway serve``: serve one version with an OpenAI-compatible API on loopback."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from commands import console
from slipway.errors import NoChampion
from slipway.serving.protocol import Pointer, write_pointer
from slipway.settings import Settings
from slipway.system.secret_policy import visible

_EXAMPLE = "curl {url}/v1/chat/completions -H 'Content-Type: application/json' -d '{body}'"


def serve(model: str, *, port: int = 8080, workers: int = 2, version: int | None = None) -> int:
    """Serve a released model on loopback until Ctrl-C; open answers are completed first.

    Args:
        model: Name of a released model.
        port: Port to listen on; 0 takes a free one.
        workers: Number of server processes. Each answers one request at a time and holds a copy of
            the weights in memory. While the version is changed, one more copy is needed.
        version: Version to serve. Default: the champion.
    """
    settings = Settings()
    pointer = Pointer(model=model, version=version or _champion(model))
    file = settings.home.resolve() / "serving" / model / "pointer.json"
    write_pointer(file, pointer)
    flags = ["--pointer", str(file), "--port", str(port), "--workers", str(workers)]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    process = subprocess.Popen(
        [sys.executable, "-m", "slipway.serving", *flags], env=visible("model-server", os.environ)
    )
    try:
        if server := _wait_until_listening(file.parent / "server.json", process):
            _show(pointer, server)
        return process.wait()
    except KeyboardInterrupt:
        print("stopping")
    finally:
        process.terminate()
        process.wait()
    return 0


def _champion(model: str) -> int:
    settings = Settings()
    if settings.has_registry:
        from slipway.registry import open_registry

        if found := open_registry(settings).champion(model):
            return found
    raise NoChampion(model)


def _wait_until_listening(
    file: Path, process: subprocess.Popen[bytes]
) -> dict[str, int | str] | None:
    """Return what the server wrote into ``file``; None if it exited instead."""
    while process.poll() is None:
        try:
            server: dict[str, int | str] = json.loads(file.read_text(encoding="utf-8"))
        except OSError:
            server = {}
        if server.get("pid") == process.pid:
            return server
        time.sleep(0.2)
    return None


def _show(pointer: Pointer, server: dict[str, int | str]) -> None:
    url = f"http://{server['host']}:{server['port']}"
    body = json.dumps({"model": pointer.model, "messages": [{"role": "user", "content": "Hello!"}]})
    console.facts(
        f"{pointer} is serving; Ctrl-C stops it",
        {
            "address": f"{url}/v1",
            "workers": f"{server['workers']}, each with a copy of the weights",
            "metrics": f"{url}/metrics",
            "try it": _EXAMPLE.format(url=url, body=body),
        },
    )
