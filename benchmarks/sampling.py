"""Measures what the sampled answers of a smoke test cost, and how often they end and loop.

Both wrappers sample the same prompts, one after the other, as in a release. Nothing else may run
on the machine. A folder is that of a logged model, such as ``copies/NAME/1-…/model`` in the home.

Usage: python benchmarks/sampling.py ONNX_FOLDER TRANSFORMERS_FOLDER
"""

import sys
import time
from pathlib import Path

from slipway.checks import sampled
from slipway.checks.load import load
from slipway.checks.prompt_files import load_prompts
from slipway.checks.sampled_rates import rates
from slipway.libraries import disable_telemetry
from slipway.settings import PROJECT
from slipway.values import DeclaredSampling, LoggedWrapper, WrapperKind

CARD = DeclaredSampling(temperature=0.2, top_p=0.9)  # of SmolLM2
ASKED = {"capital", "list-of-three", "emoji"}  # of the prompts that SmolLM2 135M ends soonest


def measure(folder: Path, kind: WrapperKind) -> None:
    """Print the cost and the rates of one wrapper."""
    every = load_prompts(PROJECT / "expectations" / "prompts" / "general.json")
    prompts = tuple(prompt for prompt in every if prompt.id in ASKED)
    contract = "prompt" if kind == "onnx" else "chat"
    wrapper = LoggedWrapper(
        kind=kind, contract=contract, model_id="m-1", name="any", version=1, size_bytes=1
    )
    model = load(folder)
    started = time.monotonic()
    samples = sampled.draw(model, wrapper, CARD, prompts)
    seconds, found = time.monotonic() - started, rates(samples)
    ends = f"{found.stopped} of {found.answers} end, {found.looped} loop"
    print(f"{kind}: {seconds:.1f} s, {ends}, {found.mean_tokens:.1f} tokens on average")


if __name__ == "__main__":
    disable_telemetry()
    match sys.argv[1:]:
        case [onnx, transformers]:
            measure(Path(onnx), "onnx")
            measure(Path(transformers), "transformers")
        case _:
            sys.exit(__doc__)
