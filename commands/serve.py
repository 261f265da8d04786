"""``slipway serve``: serve one model or several with an OpenAI-compatible API on loopback."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from commands import console
from commands.options import Count, Port, VersionNumber
from slipway.errors import AlreadyServed, CommandLineInvalid, NoChampion, SourceMissing
from slipway.serving import server_file
from slipway.serving.api_keys import has_keys, require_keys
from slipway.serving.protocol import Pointer, write_pointer
from slipway.serving.server_file import Address
from slipway.settings import PROJECT, Settings
from slipway.system import process as processes
from slipway.system.network import LOOPBACK
from slipway.system.secret_policy import visible

_NO_NAME = {"/", ":"}  # MLflow allows no registered model to have them
_EXAMPLE = "curl {url}/v1/chat/completions -H 'Content-Type: application/json' -d '{body}'"


def serve(
    model: str,
    *others: str,
    port: Port = 8080,
    host: str = LOOPBACK,
    workers: Count = 2,
    version: VersionNumber | None = None,
) -> int:
    """Serve released models until Ctrl-C; open answers are completed first.

    Args:
        model: Name of a released model.
        others: Names of more models to serve at the same address. Requests name one of them. All
            are served, or none.
        port: Port to listen on; 0 takes a free one.
        host: Address to listen on. Other machines reach any other than loopback's, so it needs keys
            (`slipway keys new NAME`).
        workers: Number of server processes of each model. Each answers several requests at a time
            and has a copy of the weights in memory. While the version is changed, one more copy is
            needed.
        version: Version to serve, of one model. Default: the champion.
    """
    settings = Settings()
    models = tuple(dict.fromkeys((model, *others)))
    are_several = len(models) > 1
    if version and are_several:
        raise CommandLineInvalid("--version is for one model", "serve ")
    require_keys(host, settings)
    pointers = [Pointer(model=each, version=_version(each, version, settings)) for each in models]
    folders = [settings.server_folders / each for each in models]
    for each, folder in zip(models, folders, strict=True):
        _require_no_server(each, folder)
    for pointer, folder in zip(pointers, folders, strict=True):
        write_pointer(folder / server_file.POINTER, pointer)
    from slipway.redeploy import model_server

    command = model_server.command(*folders, host=host, port=port, workers=workers)
    file = folders[0] / (server_file.FRONT if are_several else server_file.SERVER)
    return run_server(command, os.environ, file, lambda server: _show(pointers, server, settings))


def run_server(
    command: list[str],
    variables: Mapping[str, str],
    file: Path,
    show: Callable[[Address], None],
) -> int:
    """Run a model server until it exits, or until Ctrl-C; return its exit code.

    Args:
        command: The interpreter's arguments, as ``model_server.command`` returns them.
        variables: The server's environment; it receives those that the policy of secrets allows.
        file: What the server writes once it listens.
        show: Receives that.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    process = subprocess.Popen(
        processes.command(*command),
        env=visible("model-server", variables),
        cwd=PROJECT,
        preexec_fn=partial(processes.die_with_parent, signal.SIGTERM),  # noqa: PLW1509 - no threads
    )
    try:
        if server := _wait_until_listening(file, process):
            show(server)
        return process.wait()
    except KeyboardInterrupt:
        console.say("stopping")
    finally:
        process.terminate()
        process.wait()
    return 0


def _version(model: str, wanted: int | None, settings: Settings) -> int:
    """Return the version to serve: the one that was asked for, if it exists, or the champion."""
    if settings.has_registry and not _NO_NAME & set(model):
        from slipway.registry import open_registry

        registry = open_registry(settings)
        found = registry.champion(model) if wanted is None else wanted
        if found and (wanted is None or registry.state(model, found)):
            return found
    if wanted is None:
        raise NoChampion(model)
    raise SourceMissing(f"{model} v{wanted}", f"`slipway status {model}` lists the versions")


def _require_no_server(model: str, folder: Path) -> None:
    if running := server_file.public_address(folder):
        raise AlreadyServed(model, running.url)


def _wait_until_listening(file: Path, process: subprocess.Popen[bytes]) -> Address | None:
    """Return where the server that writes ``file`` listens; None if it exited instead."""
    while process.poll() is None:
        if (server := server_file.read(file)) and server.pid == process.pid:
            return server
        time.sleep(0.2)
    return None


def _show(pointers: list[Pointer], server: Address, settings: Settings) -> None:
    url = server.url
    body = json.dumps(
        {"model": pointers[0].model, "messages": [{"role": "user", "content": "Hello!"}]}
    )
    each = " of each model" if len(pointers) > 1 else ""
    console.facts(
        f"{', '.join(map(str, pointers))} {'are' if each else 'is'} serving; Ctrl-C stops it",
        {
            "page": f"{url}/",
            "address": f"{url}/v1",
            "workers": f"{server.workers}{each}, each with a copy of the weights",
            "keys": _keys(settings),
            "metrics": f"{url}/metrics",
            "try it": _EXAMPLE.format(url=url, body=body),
        },
    )


def _keys(settings: Settings) -> str:
    if has_keys(settings):
        return f"required: those of {settings.keys_file}"
    return (
        "none: any user of this machine may use it, and no other machine; "
        "`slipway keys new NAME` makes one"
    )
