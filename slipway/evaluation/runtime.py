"""The adapter of onnxruntime-genai's runtime, for measurements of an artifact."""

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.errors import SourceRefused
from slipway.evaluation import targets
from slipway.sources import variants
from slipway.sources.lengths import runtime_rope_switch
from slipway.values import Artifact

#: Tokens appended at once; a slice has as many logits as its tokens times the vocabulary.
_SLICE_TOKENS = 128
_CONFIG = "genai_config.json"


def unmeasurable(artifact: Artifact) -> str | None:
    """Return why an artifact cannot run on this machine; None if it can."""
    sizes = {file.path: file.size_bytes for file in artifact.stored.files}
    configs = {_CONFIG: (artifact.stored.folder / _CONFIG).read_bytes()}
    return targets.unrunnable(variants.parse(artifact.variant, sizes, configs)[0].target)


class Runtime:
    """A loaded artifact.

    Args:
        folder: A validated folder.
    """

    def __init__(self, folder: Path) -> None:
        import onnxruntime_genai
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._library = onnxruntime_genai
        self._config = json.loads((folder / _CONFIG).read_bytes())["model"]
        self._model = onnxruntime_genai.Model(str(folder))

    @cached_property
    def context_tokens(self) -> int:
        """Longest sequence."""
        return int(self._config["context_length"])

    def encode(self, text: str) -> NDArray[np.int32]:
        """Return the token ids of ``text``; shape (tokens,)."""
        return np.asarray(self._tokenizer.encode(text, add_special_tokens=False).ids, np.int32)

    def generator(self, tokens: int, **search: Any) -> Any:
        """Return the library's generator for a sequence of ``tokens`` tokens in all.

        The cache is limited to these: by default, the library allocates for the whole context. A
        model with a sliding window needs a cache of at least its window.
        """
        window = self._config["decoder"].get("sliding_window", {}).get("window_size", 0)
        params = self._library.GeneratorParams(self._model)
        max_length = min(max(tokens, window), self.context_tokens)
        params.set_search_options(max_length=max_length, do_sample=False, **search)
        return self._library.Generator(self._model, params)

    def slices(self, token_ids: NDArray[np.int32]) -> Iterator[NDArray[np.int32]]:
        """Yield a text in parts whose result is that of the whole.

        Beyond LongRoPE's switch, all of a sequence has the long factors, so the first part of a
        long text reaches beyond the switch.
        """
        switch = runtime_rope_switch(self._config["type"]) or self.context_tokens
        first = switch + 1 if len(token_ids) > switch else _SLICE_TOKENS
        yield token_ids[:first]
        for start in range(first, len(token_ids), _SLICE_TOKENS):
            yield token_ids[start : start + _SLICE_TOKENS]

    def logits(self, token_ids: NDArray[np.int32]) -> Iterator[NDArray[np.float32]]:
        """Run the artifact on a text, in one pass.

        Yields:
            Logits of the next few positions; shape (tokens, columns).

        Raises:
            SourceRefused: If the graph returns those of the last token only.
        """
        generator = self.generator(len(token_ids) + 1)
        for part in self.slices(token_ids):
            generator.append_tokens(part)
            rows = np.asarray(generator.get_output("logits"))[0]
            if len(rows) != len(part):
                rule = f"its graph gives {len(rows)} rows of logits for {len(part)} tokens"
                raise SourceRefused("model.onnx", rule, "build it without prune_lm_head")
            yield rows.astype(np.float32, copy=False)
