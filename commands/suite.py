"""``slipway suite check``: what a suite of prompts can find out; nothing is asked."""

from pathlib import Path

from commands import console
from commands.options import Share
from slipway.checks import prompt_files, regressions
from slipway.evaluation import gates, paired
from slipway.values import GateLimits, Gates


def check(file: Path, *, margin: Share | None = None, json: bool = False) -> int:
    """Check a file of prompts, and say how surely a release with it finds lost prompts.

    Args:
        file: Prompts as JSON or JSONL.
        margin: Largest share of the prompts that a release may lose. Default: that of the gate
            `lost_prompts`, 0.05.
        json: Print the result as JSON.
    """
    prompts = prompt_files.load_prompts(file)
    limits = gates.margin(Gates()) if margin is None else GateLimits(max=margin)
    power = regressions.power(prompts, limits)
    assert power is not None  # noqa: S101 - there is a margin
    if json:
        document = {"file": str(file), "asked": len(prompts), "words": paired.in_words(power)}
        console.show(document | power.model_dump(mode="json"))
    else:
        word = "large enough" if power.suffices else "TOO SMALL for its margin"
        console.facts(
            f"{file}: {word}",
            {
                "prompts": f"{len(prompts)}, {power.prompts} of them with an expectation",
                "power": paired.in_words(power),
            },
        )
    return 0 if power.suffices else 1
