"""Tokens per second of the ONNX wrapper's `predict`: one prompt, and eight at once.

Each way runs in a process of its own, since the threads of two loaded models would disturb each
other. All answer the same prompts greedily, so they generate the same tokens.
"""

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.bare_runtime import Bare
from benchmarks.figure import Figure, Measured, Sample, at_least
from benchmarks.measure import interleaved, printed, seconds
from benchmarks.models import released_home
from slipway.settings import PROJECT

ROUNDS, QUICK_ROUNDS = 5, 1
NEW_TOKENS, QUICK_NEW_TOKENS = 96, 8
PROMPTS = (
    "Name the planets of the solar system.",
    "Write a short story about a ship, in French, with a title.",
    "Why is the sky blue? Explain it to a child of ten years.",
    "How do I bake bread? Give me every step.",
    "Describe a day in the life of a sailor.",
    "Who was Isaac Newton, and what did he find out?",
    "Explain how a bicycle stays upright.",
    "Write a letter to a friend about a journey by train.",
)


def measure(work: Path, quick: bool) -> Figure:
    """Answer the prompts in each way, in turn."""
    artifact = released_home(work, quick).artifact
    tokens = QUICK_NEW_TOKENS if quick else NEW_TOKENS
    ways = {name: lambda name=name: _speed(name, artifact, tokens) for name in _WAYS}
    found = interleaved(ways, QUICK_ROUNDS if quick else ROUNDS)
    return Figure(name="wrapper", measured=_lines(found))


def _lines(found: dict[str, Sample]) -> tuple[Measured, Measured]:
    one = Measured(
        name="ONNX wrapper, one prompt after the other",
        unit="tokens/s",
        value=found["single"],
        floor=found["bare"],
        floor_name="bare loop of onnxruntime-genai",
        bars=(at_least(0.97),),
    )
    eight = Measured(
        name="ONNX wrapper, eight prompts in one call",
        unit="tokens/s",
        value=found["batch"],
        floor=found["single"],
        floor_name="eight calls",
        bars=(at_least(1.8),),
    )
    return one, eight


def _speed(way: str, artifact: Path, tokens: int) -> float:
    arguments = ("-m", "benchmarks.figures.wrapper", way, str(artifact), str(tokens))
    return float(json.loads(printed(*arguments).splitlines()[-1]))


def _bare(artifact: Path, tokens: int) -> float:
    """Return the speed of the runtime's loop, with the prompts rendered and encoded before."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(artifact)
    asked = [
        tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        for messages in map(_messages, PROMPTS)
    ]
    runtime = Bare(artifact)
    runtime.generate(asked[0], 4)
    answers: list[int] = []
    taken = seconds(
        lambda: answers.extend(len(runtime.generate(each, tokens).token_ids) for each in asked)
    )
    return sum(answers) / taken


def _single(artifact: Path, tokens: int) -> float:
    return _predicted(artifact, [[prompt] for prompt in PROMPTS], tokens)


def _batch(artifact: Path, tokens: int) -> float:
    return _predicted(artifact, [[*PROMPTS]], tokens)


def _predicted(artifact: Path, calls: list[list[str]], tokens: int) -> float:
    """Return the speed of ``predict``, with one data frame for each call."""
    import pandas as pd

    model, completions = _loaded(artifact), list[dict[str, Any]]()
    limits = {"max_tokens": tokens, "temperature": 0.0}
    frames = [
        pd.DataFrame([{"messages": _messages(prompt), **limits} for prompt in prompts])
        for prompts in calls
    ]
    first = {"messages": _messages(PROMPTS[0]), **limits, "max_tokens": 4}
    model.predict(None, pd.DataFrame([first]))
    taken = seconds(lambda: [completions.extend(model.predict(None, frame)) for frame in frames])
    return sum(int(each["usage"]["completion_tokens"]) for each in completions) / taken


def _messages(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]


def _loaded(artifact: Path) -> Any:
    """Return the wrapper of this checkout with an artifact."""
    file = PROJECT / "wrappers" / "onnx_genai.py"
    spec = importlib.util.spec_from_file_location("measured_wrapper", file)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    model = module.OnnxGenaiModel()
    context = {"artifacts": {"model": str(artifact)}, "model_config": {"contract": "chat"}}
    model.load_context(SimpleNamespace(**context))
    return model


_WAYS = {"bare": _bare, "single": _single, "batch": _batch}


if __name__ == "__main__":
    print(_WAYS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3])))
