"""Decoding speed of the candidates of a release, against llama.cpp and transformers.

Each way loads the model in a process of its own, reads a prompt of 128 tokens, and generates a
fixed number of tokens, whatever they are.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from benchmarks import llama_cpp
from benchmarks.bare_runtime import Bare
from benchmarks.figure import Figure, Measured, Sample, at_least
from benchmarks.measure import interleaved, printed
from benchmarks.models import Home, released_home

ROUNDS, QUICK_ROUNDS = 5, 1
PROMPT_TOKENS = 128
NEW_TOKENS, QUICK_NEW_TOKENS = 128, 8
#: By number of bits, how llama.cpp serves the same weights, and how that is called.
PEERS: dict[str, tuple[llama_cpp.Bits, str]] = {
    "int8": ("q8_0", "llama.cpp, Q8_0"),
    "int4": ("as-it-is", "llama.cpp, the GGUF as it is (Q4_1)"),
}


def measure(work: Path, quick: bool) -> Figure:
    """Decode in each way, in turn."""
    home = released_home(work, quick)
    tokens = QUICK_NEW_TOKENS if quick else NEW_TOKENS
    artifacts = _artifacts(home)
    reason = llama_cpp.unavailable(home.entry)
    ways = {**_own(home, artifacts, tokens), **({} if reason else _peers(home, artifacts, tokens))}
    found = interleaved(ways, QUICK_ROUNDS if quick else ROUNDS)
    lines = [
        _line(f"decoding, {name}", found[name], found.get(f"peer {name[:4]}"), name[:4])
        for name in artifacts
    ]
    lines += [_line(f"decoding, transformers, {kind}", found[kind], None, "") for kind in _DTYPES]
    notes = (
        (
            "SmolLM2's rows of 576 weights are no multiple of 256, so that llama.cpp has no Q4_K "
            "for them; its 4-bit peer is the file that the weights come from."
        ),
        (
            "On a processor with AVX2 alone, the runtime's kernel for quantized weights is slower "
            "than that of llama.cpp: there, the ratio of int8 was 0.80, and that of int4 0.89."
        ),
    )
    missing = (f"the comparison with llama.cpp: {reason}.",) if reason else ()
    return Figure(name="decode", measured=tuple(lines), notes=notes, not_run=missing)


_DTYPES = ("float32", "bfloat16")


def _line(name: str, value: Sample, peer: Sample | None, bits: str) -> Measured:
    return Measured(
        name=name,
        unit="tokens/s",
        value=value,
        floor=peer,
        floor_name=PEERS[bits][1] if peer else "",
        bars=(at_least(1.0),) if peer else (),
    )


def _artifacts(home: Home) -> dict[str, Path]:
    """Return the artifacts of the store by what they are, such as ``int8, 149 MB``."""
    found: dict[str, Path] = {}
    for folder in home.stored("artifact"):
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
        found[f"{_bits(folder)}, {size:.0f} MB"] = folder
    return found


def _bits(folder: Path) -> str:
    """Return how most of an artifact's products are stored: int4, int8 or fp32."""
    from collections import Counter

    import onnx

    graph = onnx.load(folder / "model.onnx", load_external_data=False).graph
    products = (node for node in graph.node if node.op_type == "MatMulNBits")
    bits = Counter(each.i for node in products for each in node.attribute if each.name == "bits")
    return f"int{bits.most_common(1)[0][0]}" if bits else "fp32"


def _own(home: Home, artifacts: dict[str, Path], tokens: int) -> dict[str, Callable[[], float]]:
    (weights,) = home.stored("weights")
    places = {**artifacts, **dict.fromkeys(_DTYPES, weights)}
    return {
        name: lambda name=name, folder=folder: _in_a_child(
            name if name in _DTYPES else "artifact", folder, tokens
        )
        for name, folder in places.items()
    }


def _peers(home: Home, artifacts: dict[str, Path], tokens: int) -> dict[str, Callable[[], float]]:
    gguf = llama_cpp.gguf_of(home.entry)
    kinds = {name[:4] for name in artifacts} & PEERS.keys()
    return {
        f"peer {bits}": lambda bits=bits: _by_llama_cpp(gguf, PEERS[bits][0], tokens)
        for bits in sorted(kinds)
    }


def _in_a_child(way: str, folder: Path, tokens: int) -> float:
    arguments = ("-m", "benchmarks.figures.decode", way, str(folder), str(tokens))
    return float(json.loads(printed(*arguments).splitlines()[-1]))


def _by_artifact(folder: Path, tokens: int) -> float:
    return Bare(folder).generate(_PROMPT, tokens, ends=()).tokens_per_second


def _by_transformers(folder: Path, tokens: int, dtype: str) -> float:
    """Return the speed of transformers; of the answer's tokens, the first is no decoding."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    stamps: list[float] = []

    class Stamps:
        def put(self, _: object) -> None:
            stamps.append(time.perf_counter())

        def end(self) -> None:
            return

    limits = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False}
    with torch.inference_mode():
        model.generate(torch.tensor([_PROMPT]), streamer=Stamps(), **limits)
    _, first, *_ = stamps  # the prompt is put before the first token
    return (tokens - 1) / (stamps[-1] - first)


def _by_llama_cpp(gguf: Path, bits: llama_cpp.Bits, tokens: int) -> float:
    body = {"prompt": _PROMPT, "n_predict": tokens, "ignore_eos": True, "temperature": 0}
    with llama_cpp.served(gguf, bits) as (url, _):
        answer = httpx.post(f"{url}/completion", json=body, timeout=600).raise_for_status()
    return float(answer.json()["timings"]["predicted_per_second"])


_PROMPT = [100 + number % 150 for number in range(PROMPT_TOKENS)]  # ids that any vocabulary has


if __name__ == "__main__":
    way, folder, tokens = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    if way == "artifact":
        print(_by_artifact(folder, tokens))
    else:
        print(_by_transformers(folder, tokens, way))
