"""Summaries of releases that ended in every way, as a report gets them.

Their figures and answers resemble those of a small instruction-tuned model, so that a report made
from one looks like a real one. ``candidates`` holds what was measured of its candidates.
"""

import json
from itertools import count
from pathlib import Path
from typing import Any

from slipway.evaluation import paired
from slipway.evaluation.decision import final_gates, judge
from slipway.values import (
    Answers,
    Artifact,
    Change,
    CheckResult,
    Contract,
    Entry,
    Estimate,
    FileEntry,
    GateLimits,
    Gates,
    HubSource,
    LoggedWrapper,
    Prediction,
    QuantizeRecipe,
    RegisteredVersions,
    Regression,
    ReleaseSummary,
    Revision,
    SmokeReport,
    Stored,
    Weights,
    WrapperKind,
    WrapperReport,
)
from tests.support.findings import (
    CHANGES,
    COMMIT,
    ENDED,
    LOOP,
    LOOP_CHECK,
    PARITY,
    REGRESSION,
    SLOW_CHECK,
    UNDECIDED_CHECK,
)
from tests.support.scored_candidates import QUANTIZATIONS, SELECTED, SOURCE_BYTES, selection

NAME = "smollm2-135m"
ANSWERS = {
    "capital": "The capital of Spain is Madrid.",
    "arithmetic": "7 plus 5 is 12.",
    "definition": "A harbour is a place where ships rest from the sea.",
    "list-of-three": "Red\nGreen\nBlue",
    "json-object": '{"name": "Ada", "age": 36}',
    "emoji": "A ship 🚢, an anchor ⚓ and the sea 🌊.",
    "batch-sea": "Rivers carry salt from the rocks into the sea.",
    "batch-wind": "Warm air rises, and cooler air flows in below it.",
}


def promoted(**changes: Any) -> ReleaseSummary:
    """Return a release that passes every gate; version 2 was the champion."""
    return summary().model_copy(update=changes)


def rejected() -> ReleaseSummary:
    """Return a release whose ONNX wrapper loops and is too large, and whose reference is slow."""
    drifting = ANSWERS | {"batch-sea": LOOP, "batch-wind": LOOP}
    onnx = asked("onnx", drifting, checks=(*passed("onnx"), LOOP_CHECK))
    reference = asked("transformers", checks=(*passed("transformers"), SLOW_CHECK))
    return summary(onnx, reference, artifact_bytes=341_706_901)


def inconclusive() -> ReleaseSummary:
    """Return a first release with a check that found nothing to check, and no speed."""
    onnx = asked("onnx", checks=(*passed("onnx"), UNDECIDED_CHECK), tokens_per_second=None)
    return summary(onnx, champion=None)


def unasked() -> ReleaseSummary:
    """Return a release whose ONNX wrapper could not be asked at all."""
    onnx = WrapperReport(wrapper=logged("onnx"), answers=None, checks=(), error=ENDED)
    return summary(onnx)


def regressed() -> ReleaseSummary:
    """Return a release that the champion beats at one prompt, from a source that changed."""
    champion = asked("onnx", ANSWERS | {"emoji": "A ship 🚢."}, version=2)
    return summary(
        champion_report=champion, regressions=(REGRESSION,), changes=CHANGES, parity=PARITY
    )


def answering(text: str) -> ReleaseSummary:
    """Return a release whose ONNX wrapper answered ``text`` to its only prompt."""
    return summary(asked("onnx", {"capital": text}))


def summary(
    onnx: WrapperReport | None = None,
    transformers: WrapperReport | None = None,
    *,
    champion: int | None = 2,
    artifact_bytes: int = 136_951_821,
    champion_report: WrapperReport | None = None,
    regressions: tuple[Regression, ...] = (),
    parity: tuple[CheckResult, ...] = PARITY[:1],
    changes: tuple[Change, ...] = (),
) -> ReleaseSummary:
    """Return a release of version 3 with these reports, and judged as every release is.

    Args:
        onnx: The smoke test of the ONNX wrapper; it does well by default.
        transformers: The smoke test of the reference; it does well by default.
        champion: Version that served before.
        artifact_bytes: Size of the ONNX artifact; the weights have 269 MB.
        champion_report: The smoke test of that version.
        regressions: What it answers better.
        parity: What both wrappers make of the same conversation.
        changes: What is not as in that version.
    """
    report = SmokeReport(
        onnx=onnx or asked("onnx"),
        transformers=transformers or asked("transformers"),
        parity=parity,
        champion=champion_report,
        regressions=regressions,
        power=paired.suite_power(10, 0.05),
        answer_length_ratio=Estimate.exact(1),
    )
    chosen = selection(artifact(stored=stored("model.onnx.data", artifact_bytes)))
    gates = final_gates(entry().gates, chosen, report, None)
    return ReleaseSummary(
        entry=entry(),
        weights=weights(),
        selection=chosen,
        versions=candidate(),
        report=report,
        verdict=judge(report, gates),
        gates=gates,
        champion=champion,
        changes=changes,
        flow_run_url="http://127.0.0.1:4200/runs/flow-run/5b1f",
        mlflow_url="http://127.0.0.1:5000/#/experiments/1/runs/9c2e",
    )


def entry(**changes: Any) -> Entry:
    """Return a catalogue entry that quantizes a model of the Hub."""
    fields = {
        "name": NAME,
        "title": "SmolLM2 135M Instruct",
        "source": HubSource(repo="HuggingFaceTB/SmolLM2-135M-Instruct"),
        "recipe": QuantizeRecipe(candidates=QUANTIZATIONS, prefer="smallest"),
        "licenses": ("apache-2.0",),
        "gates": Gates(answered_prompts=GateLimits(min=len(ANSWERS))),
    }
    return Entry(**fields | changes)


def weights(**changes: Any) -> Weights:
    """Return 269 MB of weights."""
    revision = {
        "source": entry().source,
        "commit": COMMIT,
        "digest": "ab" * 32,
        "files_digest": "ab" * 32,
        "paths": ("model.safetensors",),
        "size_bytes": SOURCE_BYTES,
        "license": "apache-2.0",
    }
    return Weights(
        revision=Revision(**revision | changes),
        stored=stored("model.safetensors", SOURCE_BYTES),
        architecture="LlamaForCausalLM",
        parameters=134_515_008,
    )


def artifact(**changes: Any) -> Artifact:
    """Return a 137 MB artifact that was built here."""
    fields = {
        "variant": SELECTED,
        "origin": None,
        "nodes": {"MatMulNBits int8 block 32 level 4": 151},
        "stored": stored("model.onnx.data", 136_951_821),
        "build_seconds": 54.2,
        "peak_memory_bytes": 2_104_000_000,
    }
    return Artifact(**fields | changes)


def candidate() -> RegisteredVersions:
    """Return version 3 of both wrappers."""
    return RegisteredVersions(
        model=NAME,
        key="cd" * 32,
        run_id="9c2e",
        onnx=logged("onnx"),
        transformers=logged("transformers"),
    )


def logged(kind: WrapperKind, version: int = 3) -> LoggedWrapper:
    """Return one wrapper; version 3 is the candidate."""
    return LoggedWrapper(
        kind=kind,
        contract=contract(kind),
        model_id=f"m-{kind}",
        name=NAME if kind == "onnx" else f"{NAME}-transformers",
        version=version,
        size_bytes=140_000_000,
    )


def asked(
    kind: WrapperKind,
    texts: dict[str, str] | None = None,
    *,
    checks: tuple[CheckResult, ...] | None = None,
    version: int = 3,
    **changes: Any,
) -> WrapperReport:
    """Return the smoke test of a wrapper that gave these answers.

    Args:
        kind: Which wrapper.
        texts: Answers by prompt.
        checks: What was expected; six that passed by default.
        version: The version that was asked.
        **changes: Other fields of its answers.
    """
    latencies_ms = count(410 if kind == "onnx" else 688)
    fields = {
        "kind": kind,
        "contract": contract(kind),
        "predictions": tuple(
            Prediction(prompt_id=prompt_id, response=response(kind, text), latency_ms=latency_ms)
            for (prompt_id, text), latency_ms in zip(
                (texts or ANSWERS).items(), latencies_ms, strict=False
            )
        ),
        "load_seconds": 2.14 if kind == "onnx" else 3.87,
        "peak_memory_bytes": 612_000_000 if kind == "onnx" else 1_180_000_000,
        "tokens_per_second": 31.4 if kind == "onnx" else 19.8,
    }
    answers = Answers(**fields | changes)
    return WrapperReport(
        wrapper=logged(kind, version),
        answers=answers,
        checks=passed(kind) if checks is None else checks,
    )


def passed(kind: WrapperKind) -> tuple[CheckResult, ...]:
    """Return six checks that passed."""
    form = "text" if contract(kind) == "prompt" else "chat completion"
    names = {
        "there is one answer to every prompt, and no other": "critical",
        "every prompt is answered without an error": "critical",
        "every answer is JSON": "critical",
        f"every answer is a {form}": "critical",
        "every answer says something": "critical",
        "no answer holds a replacement character": "warning",
    }
    return tuple(CheckResult(name=name, severity=how, passed=True) for name, how in names.items())


def contract(kind: WrapperKind) -> Contract:
    """Return the contract that a wrapper speaks by default."""
    return "prompt" if kind == "onnx" else "chat"


def response(kind: WrapperKind, text: str) -> str:
    """Return ``text`` as the JSON that a wrapper answers."""
    if contract(kind) == "prompt":
        return json.dumps(text)
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 31, "completion_tokens": 9, "total_tokens": 40}
    return json.dumps({"object": "chat.completion", "choices": [choice], "usage": usage})


def stored(path: str, size_bytes: int) -> Stored:
    """Return a folder of the store with one file."""
    file = FileEntry(path=path, size_bytes=size_bytes, sha256="ef" * 32)
    return Stored(key="weights-1", folder=Path("store"), files=(file,))
