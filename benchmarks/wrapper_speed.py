"""Measures tokens per second of two wrappers on one artifact, or of a running model server.

Two wrappers answer the same prompts in turn, greedily, each in a process of its own. Reported are
the medians of the rounds and their ratio.

For ``slipway serve``, release the model with each wrapper (the one before stays in
``wrappers/known.sha256``), serve one version after the other, and measure each server.

Usage: python benchmarks/wrapper_speed.py ARTIFACT WRAPPER_BEFORE [ROUNDS]
       python benchmarks/wrapper_speed.py URL MODEL [ROUNDS]
"""

import importlib.util
import statistics
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx

from slipway.settings import PROJECT, disable_telemetry

BAR = 0.97
NEW_TOKENS = 128
PROMPTS = (
    "Name the planets of the solar system.",
    "Write a short story about a ship, in French, with a title.",
    "Zähle auf Japanisch bis zehn: 一、二、",
    "List ten Python functions with one line of code each. " * 8,
)


def main(place: str, other: str, rounds: int) -> None:
    """Measure, and print the result."""
    if place.startswith("http"):
        speed = statistics.median(served(place, other) for _ in range(rounds))
        print(f"{other} at {place}: {speed:.1f} tokens/s, {rounds} rounds")
        return
    wrappers = {"before": Path(other), "now": PROJECT / "wrappers" / "onnx_genai.py"}
    speeds: dict[str, list[float]] = {name: [] for name in wrappers}
    for _ in range(rounds):
        for name, wrapper in wrappers.items():
            speeds[name].append(in_a_child(Path(place), wrapper))
    before, now = (statistics.median(speeds[name]) for name in wrappers)
    ratio = f"ratio {now / before:.3f} (at least {BAR})"
    print(f"before {before:.1f} tokens/s, now {now:.1f}, {ratio}, {rounds} rounds")


def in_a_child(artifact: Path, wrapper: Path) -> float:
    """Return the tokens per second of one wrapper in a new process."""
    command = [sys.executable, __file__, "--child", str(artifact), str(wrapper)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(printed.splitlines()[-1])


def answered(artifact: Path, wrapper: Path) -> float:
    """Return the tokens per second of a wrapper over all prompts, after a short answer."""
    model = loaded(artifact, wrapper)
    model.generate(PROMPTS[0], max_tokens=4)
    started, count = time.perf_counter(), 0
    for prompt in PROMPTS:
        count += model.generate(prompt, max_tokens=NEW_TOKENS).completion_tokens
    return count / (time.perf_counter() - started)


def loaded(artifact: Path, wrapper: Path) -> Any:
    """Return the wrapper with its artifact."""
    spec = importlib.util.spec_from_file_location("measured_wrapper", wrapper)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{wrapper} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.OnnxGenaiModel()
    model.load_context(SimpleNamespace(artifacts={"model": str(artifact)}, model_config={}))
    return model


def served(url: str, model: str) -> float:
    """Return the tokens per second of a model server over all prompts, one after the other."""
    started, count = time.perf_counter(), 0
    for prompt in PROMPTS:
        body = {
            "model": model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": NEW_TOKENS,
            "temperature": 0,
        }
        answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=600)
        count += answer.raise_for_status().json()["usage"]["completion_tokens"]
    return count / (time.perf_counter() - started)


if __name__ == "__main__":
    disable_telemetry()
    match sys.argv[1:]:
        case ["--child", wrapper, model]:
            print(answered(Path(wrapper), Path(model)))
        case [first, second]:
            main(first, second, 5)
        case [first, second, rounds]:
            main(first, second, int(rounds))
        case _:
            sys.exit(__doc__)
