"""An artifact in a bare loop of onnxruntime-genai: the floor of what is measured of artifacts."""

import json
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from slipway.evaluation import logits


def texts_of(reading: Path) -> list[logits.Ints]:
    """Return every text that a comparison reads, also those near the context's end, as token ids.

    Args:
        reading: Folder with the logits of a source.
    """
    names = (logits.TEXTS, logits.LONG_TEXTS)
    return [each for name in names for each in logits.load(reading, name).sequences]


class Answer(NamedTuple):
    """An answer's tokens, and the seconds from its first token to its last."""

    token_ids: list[int]
    decode_seconds: float

    @property
    def tokens_per_second(self) -> float:
        """Return the speed of decoding."""
        return (len(self.token_ids) - 1) / self.decode_seconds


class Bare:
    """A loaded artifact.

    Args:
        folder: What onnxruntime-genai loads.
    """

    def __init__(self, folder: Path) -> None:
        import onnxruntime_genai

        self._library: Any = onnxruntime_genai
        self._model = onnxruntime_genai.Model(str(folder))
        config = json.loads((folder / "genai_config.json").read_bytes())["model"]
        ends = config["eos_token_id"]
        self.context_tokens = int(config["context_length"])
        self.ends: Collection[int] = ends if isinstance(ends, list) else [ends]

    def generate(
        self, token_ids: Sequence[int], new_tokens: int, ends: Collection[int] | None = None
    ) -> Answer:
        """Return the greedy answer, of as many tokens unless an end token comes before.

        Args:
            token_ids: The prompt.
            new_tokens: Most tokens of the answer.
            ends: Tokens that end it; by default the artifact's, without any it never ends early.
        """
        ends = self.ends if ends is None else ends
        tokens = min(len(token_ids) + new_tokens, self.context_tokens)
        generator = self._generator(tokens, min_length=0 if ends else tokens)
        generator.append_tokens(np.asarray(token_ids, np.int32))
        answer: list[int] = []
        first = last = 0.0
        while len(token_ids) + len(answer) < tokens and not (answer and answer[-1] in ends):
            generator.generate_next_token()
            answer.append(int(generator.get_next_tokens()[0]))
            last = time.perf_counter()
            first = first or last
        return Answer(answer, last - first)

    def logits(self, token_ids: Sequence[int]) -> None:
        """Read a text in one piece, and discard its logits."""
        generator = self._generator(len(token_ids) + 1)
        generator.append_tokens(np.asarray(token_ids, np.int32))
        generator.get_output("logits")

    def _generator(self, tokens: int, **search: int) -> Any:
        params = self._library.GeneratorParams(self._model)
        params.set_search_options(max_length=tokens, do_sample=False, **search)
        return self._library.Generator(self._model, params)
