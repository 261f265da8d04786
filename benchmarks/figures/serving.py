"""Tokens per second of the model server with 1, 4 and 8 clients, against llama.cpp's server."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import httpx

from benchmarks import llama_cpp
from benchmarks.figure import Figure, Measured, Sample
from benchmarks.models import released_home
from benchmarks.serving_load import (
    CLIENTS,
    NEW_TOKENS,
    PROMPTS,
    Figures,
    Serving,
    asked,
    load,
    served,
    served_by_llama_cpp,
)
from slipway.settings import PROJECT

ROUNDS, QUICK_ROUNDS = 5, 1
OURS, PEER = "Slipway", "llama.cpp"


def measure(work: Path, quick: bool) -> Figure:
    """Start each server in turn, and let the clients ask."""
    home = released_home(work, quick)
    servers: dict[str, Callable[[], AbstractContextManager[Serving]]] = {
        OURS: partial(served, PROJECT, home.logged)
    }
    reason = llama_cpp.unavailable(home.entry)
    if not reason:
        servers[PEER] = partial(served_by_llama_cpp, llama_cpp.gguf_of(home.entry))
    figures = {name: Figures() for name in servers}
    clients = CLIENTS[:1] if quick else CLIENTS
    for _ in range(QUICK_ROUNDS if quick else ROUNDS):
        for name, start in servers.items():
            with start() as serving:
                asyncio.run(_loaded(serving, figures[name], clients))
    measured = tuple(
        _line(count, kind, figures) for count in clients for kind in ("tokens/s", "first token s")
    )
    note = f"One worker; llama.cpp serves Q8_0. Answers of up to {NEW_TOKENS} tokens, greedy."
    missing = (f"the comparison with llama.cpp: {reason}.",) if reason else ()
    return Figure(name="serving", measured=measured, notes=(note,), not_run=missing)


async def _loaded(serving: Serving, figures: Figures, clients: tuple[int, ...]) -> None:
    new = httpx.Limits(max_keepalive_connections=0)  # llama.cpp's server closes those that it kept
    async with httpx.AsyncClient(base_url=serving.url, timeout=600, limits=new) as client:
        await asked(client, serving.model, PROMPTS[0], 4)
        for count in clients:
            await load(client, serving.model, count, figures)


def _line(clients: int, kind: str, figures: dict[str, Figures]) -> Measured:
    key = f"{clients} clients: {kind}" + (", median" if kind != "tokens/s" else "")
    peer = figures.get(PEER)
    speed = kind == "tokens/s"
    who = f"{clients} client{'s' if clients > 1 else ''}"
    return Measured(
        name=f"served, {who}" if speed else f"first token, {who}",
        unit="tokens/s" if speed else "s",
        value=Sample(rounds=tuple(figures[OURS].values[key])),
        floor=Sample(rounds=tuple(peer.values[key])) if peer else None,
        floor_name="llama.cpp's server" if peer else "",
    )
