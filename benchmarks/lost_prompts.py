"""Measures how often a release that loses prompts is blocked, over the answers of a real release.

Prompts are drawn with repetition from those that the release graded. A candidate gives the recorded
answers, except that some are lost: a share by intent, and a few more by accident, as many as are
gained. Each is compared with the recorded answers as a release compares itself with the champion.

Usage: python benchmarks/lost_prompts.py PREDICTIONS SUITE [PROMPTS [DRAWS]]

PREDICTIONS is `predictions.json` of a release's MLflow run, SUITE its file of prompts.
"""

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from slipway.checks.prompt_files import load_prompts
from slipway.evaluation import gates, paired
from slipway.values import Gates
from tests.support.planted_losses import blocked_share, drawn, recorded


def main(predictions: Path, suite: Path, count: int = 200, draws: int = 50) -> None:
    """Simulate, and print what was found beside what a report says."""
    margin = gates.margin(Gates()).max or 0
    known = recorded(json.loads(predictions.read_bytes()), "transformers", suite)
    prompts, answers = drawn(known, load_prompts(suite), count, np.random.default_rng(1))
    right = sum(known is True for _, known in answers.values())
    print(f"{count} prompts, {right} answered right; {draws} draws each")
    for loss in (0.0, margin / 2, margin, 2 * margin):
        share = blocked_share(answers, prompts, loss, margin, draws)
        stated = paired.power(count, margin, loss)
        print(f"loses {100 * loss:4.1f} points: blocked in {share:.1%}; stated {stated:.1%}")
    print(paired.in_words(paired.suite_power(count, margin)))


if __name__ == "__main__":
    if sys.argv[2:]:
        main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:5]))
    else:
        print(__doc__)
