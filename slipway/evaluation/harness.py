"""Tasks of lm-evaluation-harness, which makes the requests and scores the answers.

``run`` works in a child process. A source runs as the harness' ``hf`` model in float32, an artifact
as its ``onnxruntime-genai`` model over our own ``Runtime``: the harness' own allocates a cache of
a request's length, so that a model with a sliding window fails on every shorter request with "KV
cache capacity (30) must be at least local_window_size (100)".
"""

import importlib.util
import logging
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slipway.errors import ExtraMissing, SourceMissing
from slipway.evaluation.task_scores import TaskScore
from slipway.values import Value

_PACKAGE, _EXTRA = "lm_eval", "evaluation"


class TaskRequest(Value):
    """What to run on which model.

    Attributes:
        model: Folder of a checkpoint, or of an artifact.
        is_source: Whether it is a checkpoint.
        tasks: Names of tasks.
        folder: Holds task files of one's own, whose data files are named relative to it.
        cache: Folder in which the harness keeps data sets.
        limit: Items of each task; None for all.
    """

    model: Path
    is_source: bool
    tasks: tuple[str, ...]
    folder: Path
    cache: Path
    limit: int | None = None


class TaskRun(Value):
    """What a model reached, and the processor time of it, with loading."""

    scores: tuple[TaskScore, ...]
    cpu_seconds: float


def require_installed() -> None:
    """Refuse to go on without the harness.

    Raises:
        ExtraMissing: If it is not installed.
    """
    if importlib.util.find_spec(_PACKAGE) is None:
        raise ExtraMissing("lm-evaluation-harness", _EXTRA)


def run(request: TaskRequest) -> TaskRun:
    """Run a model on tasks.

    Raises:
        SourceMissing: If there is no such task.
    """
    started = time.process_time()
    os.environ["HF_DATASETS_CACHE"] = str(request.cache)  # read when the library is imported
    os.chdir(request.folder)
    logging.disable(logging.WARNING)  # defaults of task files, and advice on chat templates
    import lm_eval

    manager = _tasks(request)
    model = _source(request.model) if request.is_source else _artifact(request.model)
    found = lm_eval.simple_evaluate(
        model=model,
        tasks=list(request.tasks),
        task_manager=manager,
        limit=request.limit,
        bootstrap_iters=0,
    )
    return TaskRun(scores=tuple(_scores(found)), cpu_seconds=time.process_time() - started)


def _tasks(request: TaskRequest) -> Any:
    """Return the manager of the folder's tasks, and of the harness' if others are requested."""
    from lm_eval.tasks import TaskManager

    for with_defaults in (False, True):
        manager = TaskManager(include_path=str(request.folder), include_defaults=with_defaults)
        unknown = [task for task in request.tasks if not manager.match_tasks([task])]
        if not unknown:
            return manager
    remedy = f"write it into {request.folder}, or name a task of lm-evaluation-harness"
    raise SourceMissing(f"task {unknown[0]}", remedy)


def _source(folder: Path) -> Any:
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=str(folder), dtype="float32", device="cpu", add_bos_token=False)


def _artifact(folder: Path) -> Any:
    import numpy as np
    from lm_eval.models.onnxruntime_genai import ONNXRuntimeGenAILM

    from slipway.evaluation.runtime import Runtime

    class Artifact(ONNXRuntimeGenAILM):  # type: ignore[misc]
        """The harness' model, with passes of our runtime."""

        def _load(self) -> None:
            self.runtime = Runtime(self.model_dir)

        def _forward_logits(self, tokens: list[int]) -> Any:
            return np.concatenate([*self.runtime.logits(np.asarray(tokens, np.int32))])

        def _generate(self, tokens: list[int], gen_kwargs: dict[str, Any]) -> list[int]:
            new = int(gen_kwargs.get("max_gen_toks") or self.max_gen_toks)
            generator = self.runtime.generator(len(tokens) + new)
            for part in self.runtime.slices(np.asarray(tokens, np.int32)):
                generator.append_tokens(part)
            while not generator.is_done() and len(generator.get_sequence(0)) < len(tokens) + new:
                generator.generate_next_token()
            return [int(each) for each in generator.get_sequence(0)[len(tokens) :]]

    return Artifact(pretrained=str(folder))


def _scores(found: Any) -> Iterator[TaskScore]:
    for task, samples in found["samples"].items():
        totals, higher = found["results"][task], found["higher_is_better"][task]
        for key, value in totals.items():
            metric, _, chosen = key.partition(",")
            if chosen and not metric.endswith("_stderr") and isinstance(value, int | float):
                items = {
                    f"{sample['doc_id']}-{sample['prompt_hash'][:16]}": sample[metric]
                    for sample in samples
                    if sample["filter"] == chosen and metric in sample["metrics"]
                }
                yield TaskScore(
                    task=task,
                    metric=metric if chosen == "none" else f"{metric}.{chosen}",
                    value=float(value),
                    higher_is_better=bool(higher.get(metric, True)),
                    items=_numbers(items, float(value)),
                )


def _numbers(items: dict[str, Any], total: float) -> dict[str, float]:
    """Return the items' scores if ``total`` is their mean; else nothing."""
    if not all(isinstance(each, int | float) for each in items.values()):
        return {}
    scores = {item: float(score) for item, score in items.items()}
    mean = sum(scores.values()) / max(len(scores), 1)
    return scores if math.isclose(mean, total, abs_tol=1e-9) else {}
