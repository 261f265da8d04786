"""Measures a model server with 1, 4 and 8 clients, and a short request behind long ones.

Printed for each server: tokens/s of all clients together, seconds to the first token (median and
p95), the memory of its engines, and the seconds to the first token of a short request behind a long
answer and behind a long prompt, and how many of eight greedy answers at the same time equal those
alone. With several checkouts each has a server of its own with its own wrapper, and they are
measured in turn; the ratios are to the first.

Usage: python -m benchmarks.serving_load URL MODEL
       python -m benchmarks.serving_load --model LOGGED_MODEL [--rounds N] [--llama-cpp GGUF]
              CHECKOUT [CHECKOUT ...]

``LOGGED_MODEL`` is the folder of a logged ONNX wrapper, such as
``.slipway/copies/NAME/VERSION-DIGEST/model``; ``CHECKOUT`` is a folder with this project's code.
``GGUF`` is the same model for llama.cpp's server: see ``benchmarks/llama_cpp.py``.
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks import llama_cpp

CLIENTS = (1, 4, 8)
REQUESTS = 2  # of each client
NEW_TOKENS = 96
LOAD_SECONDS = 300.0
MODEL = "measured"
PROMPTS = (
    "Tell me a story about a ship.",
    "Why is the sky blue? Explain it to a child of ten years.",
    "Write a poem about rain.",
    "How do I bake bread? Give me every step.",
    "Describe a day in the life of a sailor.",
    "Who was Isaac Newton, and what did he find out?",
    "Explain how a bicycle stays upright.",
    "Write a letter to a friend about a journey by train.",
)


BEHIND: tuple[tuple[str, str, int], ...] = (
    ("2,000 new tokens", PROMPTS[0], 2000),
    ("a prompt of 2,000 tokens", "The ship left at dawn and nobody saw it again. " * 180, 8),
)


@dataclass
class Figures:
    """What was measured of one server, by name of the figure."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        """Add the value of one round."""
        self.values.setdefault(name, []).append(value)

    def median(self, name: str) -> float:
        """Return the median of the rounds."""
        return statistics.median(self.values[name])


@dataclass(frozen=True)
class Answer:
    """Seconds until the first token, the number of tokens, and the text."""

    first: float
    tokens: int
    text: str


@dataclass(frozen=True)
class Serving:
    """A server's address and model, and the processes that hold the weights."""

    url: str
    model: str
    engines: list[psutil.Process]

    def memory_mb(self) -> float:
        """Return the memory of its engines."""
        return sum(each.memory_info().rss for each in self.engines) / 1e6


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("places", nargs="+")
    parser.add_argument("--model", type=Path, help="folder of a logged model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--llama-cpp", type=Path, metavar="GGUF")
    options = parser.parse_args()
    if not options.model:
        url, model = options.places
        show({url: asyncio.run(measured(found(url, model), Figures()))})
        return
    servers = {
        place: partial(served, Path(place).resolve(), options.model) for place in options.places
    }
    if options.llama_cpp:
        servers["llama.cpp"] = partial(served_by_llama_cpp, options.llama_cpp)
    figures = {place: Figures() for place in servers}
    for _ in range(options.rounds):
        for place, start in servers.items():
            with start() as serving:
                asyncio.run(measured(serving, figures[place]))
    show(figures)


def found(url: str, model: str) -> Serving:
    """Return a model server that runs."""
    worker = psutil.Process(httpx.get(f"{url}/ready").json()["pid"])
    return Serving(url, model, worker.children(recursive=True))


@contextmanager
def served(checkout: Path, logged: Path) -> Iterator[Serving]:
    """Serve the logged model with a checkout's code and wrapper, with one worker."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        copy = folder / "model"
        shutil.copytree(logged, copy)  # MLflow refuses links that lead out of the folder
        shutil.copy(checkout / "wrappers" / "onnx_genai.py", copy / "onnx_genai.py")
        files = {"folder": str(copy), "digest": "0" * 64}
        pointer = {"model": MODEL, "version": 1, "files": files}
        (folder / "pointer.json").write_text(json.dumps(pointer), encoding="utf-8")
        log = stack.enter_context((folder / "log").open("wb"))
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "slipway.serving", "--workers", "1", "--port", "0"),
                *("--pointer", str(folder / "pointer.json")),
            ],
            cwd=checkout,
            env=os.environ | {"PYTHONPATH": str(checkout), "SLIPWAY_HOME": str(folder / "home")},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield found(address(process, folder), MODEL)
        finally:
            process.terminate()
            process.wait(60)


def address(process: subprocess.Popen[bytes], folder: Path) -> str:
    """Wait until the server listens."""
    deadline = time.monotonic() + LOAD_SECONDS
    while not (folder / "server.json").is_file():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit((folder / "log").read_text(encoding="utf-8"))
        time.sleep(0.2)
    server = json.loads((folder / "server.json").read_bytes())
    return f"http://127.0.0.1:{server['port']}"


@contextmanager
def served_by_llama_cpp(gguf: Path) -> Iterator[Serving]:
    """Serve the same model with llama.cpp, quantized to 8 bits."""
    with llama_cpp.served(gguf, "q8_0") as (url, process):
        yield Serving(url, llama_cpp.MODEL, [process])


async def measured(serving: Serving, figures: Figures) -> Figures:
    """Measure one server once."""
    model = serving.model
    new = httpx.Limits(max_keepalive_connections=0)  # llama.cpp's server closes those that it kept
    async with httpx.AsyncClient(base_url=serving.url, timeout=600, limits=new) as client:
        await asked(client, model, PROMPTS[0], 4)
        figures.add("memory MB, loaded", serving.memory_mb())
        for clients in CLIENTS:
            await load(client, model, clients, figures)
            figures.add(f"{clients} clients: memory MB", serving.memory_mb())
        for name, prompt, tokens in BEHIND:
            waited = await behind(client, model, prompt, tokens)
            figures.add(f"first token s behind {name}", waited)
        figures.add("of 8 answers equal to those alone", await equal(client, model))
    return figures


async def equal(client: httpx.AsyncClient, model: str) -> int:
    """Return how many greedy answers at the same time equal those alone."""
    alone = [await asked(client, model, prompt, NEW_TOKENS) for prompt in PROMPTS]
    requests = [asked(client, model, prompt, NEW_TOKENS) for prompt in PROMPTS]
    together = await asyncio.gather(*requests)
    return sum(one.text == other.text for one, other in zip(alone, together, strict=True))


async def load(client: httpx.AsyncClient, model: str, clients: int, figures: Figures) -> None:
    """Let clients ask one request after the other, all at the same time."""

    async def one(number: int) -> list[Answer]:
        prompts = [PROMPTS[(number + turn) % len(PROMPTS)] for turn in range(REQUESTS)]
        return [await asked(client, model, prompt, NEW_TOKENS) for prompt in prompts]

    started = time.monotonic()
    answers = [*chain.from_iterable(await asyncio.gather(*map(one, range(clients))))]
    seconds = time.monotonic() - started
    firsts = sorted(answer.first for answer in answers)
    figures.add(f"{clients} clients: tokens/s", sum(each.tokens for each in answers) / seconds)
    figures.add(f"{clients} clients: first token s, median", statistics.median(firsts))
    figures.add(f"{clients} clients: first token s, p95", firsts[int(0.95 * (len(firsts) - 1))])


async def behind(client: httpx.AsyncClient, model: str, prompt: str, tokens: int) -> float:
    """Return the seconds to the first token of a short request behind a long one, which leaves."""
    long = asyncio.create_task(asked(client, model, prompt, tokens))
    await asyncio.sleep(1.0)
    short = await asked(client, model, "Hi", 4)
    long.cancel()
    await asyncio.gather(long, return_exceptions=True)
    await asyncio.sleep(2.0)
    return short.first


async def asked(client: httpx.AsyncClient, model: str, prompt: str, tokens: int) -> Answer:
    """Stream one answer."""
    body: dict[str, Any] = {"model": model, "max_tokens": tokens, "temperature": 0}
    body |= {"messages": [{"role": "user", "content": prompt}]}
    body |= {"stream": True, "stream_options": {"include_usage": True}}
    started, first, count, texts = time.monotonic(), 0.0, 0, []
    async with client.stream("POST", "/v1/chat/completions", json=body) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            event = line.removeprefix("data: ")
            if not event or event == "[DONE]":
                continue
            given = json.loads(event)
            if "error" in given:
                raise RuntimeError(given["error"]["message"])
            texts += [text for each in given["choices"] if (text := each["delta"].get("content"))]
            if texts and not first:
                first = time.monotonic() - started
            count = (given.get("usage") or {}).get("completion_tokens", count)
    return Answer(first, count, "".join(texts))


def show(figures: dict[str, Figures]) -> None:
    """Print the medians, and their ratios to the first server's."""
    first, *_ = figures.values()
    for place, each in figures.items():
        print(place)
        for name in each.values:
            value = each.median(name)
            ratio = f"  ({value / first.median(name):.2f})" if each is not first else ""
            print(f"  {name:45} {value:9.2f}{ratio}")


if __name__ == "__main__":
    main()
