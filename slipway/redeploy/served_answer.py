"""The answer of a running model server to one prompt."""

from pathlib import Path
from typing import Any

import httpx

from slipway.errors import PromptRefused
from slipway.redeploy import model_server
from slipway.serving.protocol import Pointer
from slipway.values import Contract


def ask(
    folder: Path,
    wanted: Pointer,
    contract: Contract,
    text: str,
    client: httpx.Client,
) -> dict[str, Any] | None:
    """Return what a wrapper with this contract would return for ``text``.

    Args:
        folder: Of the server: its pointer file and ``server.json``.
        wanted: The version that has to answer.
        contract: ``prompt`` for the field ``text``, ``chat`` for a chat completion.
        text: The prompt.
        client: Has the time limit of the answer, and a key of the server.

    Returns:
        None if no server of this folder answers with this version.

    Raises:
        PromptRefused: If the server serves the version, and the prompt cannot be answered.
    """
    address = model_server.find(folder)
    ready = model_server.ready_worker(address) if address else None
    if address is None or ready is None or ready.version != wanted.version:
        return None
    route = "completions" if contract == "prompt" else "chat/completions"
    messages = [{"role": "user", "content": text}]
    question = {"prompt": text} if contract == "prompt" else {"messages": messages}
    body = {"model": wanted.model} | question
    try:
        answer = client.post(f"{address.url}/v1/{route}", json=body)
        document = answer.json()
    except (httpx.HTTPError, ValueError):
        return None
    if answer.headers.get("X-Model-Version") != str(wanted.version):
        return None
    if answer.status_code == httpx.codes.BAD_REQUEST:
        raise PromptRefused(str(wanted), document["error"]["message"])
    if not answer.is_success:
        return None
    return {"text": document["choices"][0]["text"]} if contract == "prompt" else document
