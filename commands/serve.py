"""``slipway serve``: the version that serves, as OpenAI's API on loopback."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from commands import console
from slipway.errors import SourceMissing
from slipway.serving.pointer import Pointer, write
from slipway.settings import Settings
from slipway.system.secret_policy import visible

_ANSWERED = "curl {url}/v1/chat/completions -H 'Content-Type: application/json' -d '{body}'"


def serve(model: str, *, port: int = 8080, workers: int = 2, version: int | None = None) -> int:
    """Serve a released model as OpenAI's API on loopback; Ctrl-C lets answers end and stops.

    Args:
        model: Name of a released model.
        port: Where it listens; 0 takes a free one.
        workers: Processes that answer, one request each at a time. Each holds a copy of the
            weights in memory; a change of version needs one more while it lasts.
        version: Serve this version; the champion if it is not named.
    """
    settings = Settings()
    aim = Pointer(model=model, version=version or _champion(model))
    file = settings.home.resolve() / "serving" / model / "pointer.json"
    write(file, aim)
    flags = ["--pointer", str(file), "--port", str(port), "--workers", str(workers)]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    process = subprocess.Popen(
        [sys.executable, "-m", "slipway.serving", *flags], env=visible("model-server", os.environ)
    )
    try:
        if seen := _server(file.parent / "server.json", process):
            _show(aim, seen)
        return process.wait()
    except KeyboardInterrupt:
        print("stopping")
    finally:
        process.terminate()
        process.wait()
    return 0


def _champion(model: str) -> int:
    if Settings().has_registry:
        from tasks.context import registry

        if found := registry().champion(model):
            return found
    raise SourceMissing(f"a champion of {model}", f"release it first: slipway release {model}")


def _server(note: Path, process: subprocess.Popen[bytes]) -> dict[str, int | str] | None:
    """Return what the server says of itself once it listens, None if it ended instead."""
    while process.poll() is None:
        try:
            seen: dict[str, int | str] = json.loads(note.read_text(encoding="utf-8"))
        except OSError:
            seen = {}
        if seen.get("pid") == process.pid:
            return seen
        time.sleep(0.2)
    return None


def _show(aim: Pointer, seen: dict[str, int | str]) -> None:
    url = f"http://{seen['host']}:{seen['port']}"
    body = json.dumps({"model": aim.model, "messages": [{"role": "user", "content": "Hello!"}]})
    console.facts(
        f"{aim} serves; Ctrl-C stops it",
        {
            "address": f"{url}/v1",
            "workers": f"{seen['workers']}, each with a copy of the weights",
            "figures": f"{url}/metrics",
            "try it": _ANSWERED.format(url=url, body=body),
        },
    )
