"""Artifacts are timed in turn, each time in a fresh process; what cannot run says why."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

from slipway.evaluation import speed
from slipway.evaluation.evaluate import evaluate
from slipway.system.process import ProcessLimits
from slipway.values import BuildResult, Speed
from tests.support import summaries
from tests.support.measured_values import artifact_of, timed, workspace_of
from tests.support.tiny_phi3 import CONTEXT_LENGTH


def variation(built: Path, folder: Path, **decoder: object) -> Path:
    """Return a copy whose configuration says something else of its decoder."""
    shutil.copytree(built, folder)
    path = folder / "genai_config.json"
    config = json.loads(path.read_bytes())
    config["model"]["decoder"] |= decoder
    path.write_text(json.dumps(config), encoding="utf-8")
    return folder


def test_candidates_are_timed_in_turn_and_failures_say_why(
    built: Path, limits: ProcessLimits, tmp_path: Path
) -> None:
    """One for another target is never loaded, and one that does not load is tried once."""
    cuda = {"session_options": {"provider_options": [{"cuda": {}}]}}
    elsewhere = variation(built, tmp_path / "elsewhere", **cuda)
    broken = variation(built, tmp_path / "broken")
    (broken / "model.onnx").write_bytes(b"no graph")
    heard: list[str] = []
    workspace = replace(workspace_of(limits), progress=lambda _, text: heard.append(text))
    artifacts = (
        artifact_of(built, "cpu-a"),
        artifact_of(elsewhere, "cuda-b"),
        artifact_of(broken, "cpu-c"),
        artifact_of(built, "cpu-d"),
    )

    first, second, third, fourth = speed.measure(artifacts, workspace, rounds=2)

    assert heard == [
        *(f"round 1 of 2: cpu-{name}" for name in "acd"),
        *(f"round 2 of 2: cpu-{name}" for name in "ad"),
    ]
    assert isinstance(second, str)
    assert second.startswith("made for cuda, and the ONNX Runtime of this machine has only ")
    assert isinstance(third, str)
    assert third.startswith("time crashed: ")
    assert isinstance(first, Speed)
    assert isinstance(fourth, Speed)
    assert (first.prompt_tokens, first.new_tokens, first.rounds) == (128, 32, 2)


def test_for_another_device_alone_the_source_is_not_read(
    built: Path, limits: ProcessLimits, tmp_path: Path
) -> None:
    """Its checkpoint is not even there; the reason is that of the device."""
    cuda = {"session_options": {"provider_options": [{"cuda": {}}]}}
    artifact = artifact_of(variation(built, tmp_path / "elsewhere", **cuda), "cuda-a")
    made = BuildResult(variant="cuda-a", precision="int4", artifact=artifact)

    [found] = evaluate(summaries.weights(), (made,), (), workspace_of(limits), speed_rounds=1)

    assert (found.fidelity, found.speed, found.runs_here) == (None, None, False)
    assert found.failure.startswith("made for cuda")


def test_the_figures_of_one_process_fit_each_other(built: Path) -> None:
    """The first token comes after the prompt was read; every new token takes its time."""
    timing = speed.time_once(speed.TimingRequest(artifact=artifact_of(built)))

    assert 0 < timing.prefill_seconds < timing.first_seconds
    assert timing.load_seconds > 0
    assert timing.decode_seconds > 0


def test_a_prompt_and_its_answer_fit_a_short_context(built: Path, tmp_path: Path) -> None:
    """The prompt gives way, since nothing is decoded without room."""
    shutil.copytree(built, tmp_path / "short")
    path = tmp_path / "short" / "genai_config.json"
    text = path.read_text(encoding="utf-8").replace(f": {CONTEXT_LENGTH}", ": 40")
    path.write_text(text, encoding="utf-8")

    timing = speed.time_once(speed.TimingRequest(artifact=artifact_of(tmp_path / "short")))

    assert (timing.prompt_tokens, timing.new_tokens) == (20, 20)


def test_the_median_of_the_rounds_is_told() -> None:
    """One slow round changes nothing; memory is the most that any of them held."""
    told = speed._speed([timed(1, 10), timed(50, 30), timed(2, 20)])

    assert told == Speed(
        load_seconds=2,
        time_to_first_token_ms=4000,
        prefill_tokens_per_second=64,
        decode_tokens_per_second=4,
        peak_memory_bytes=30,
        prompt_tokens=128,
        new_tokens=33,
        rounds=3,
        energy_unknown="not measured",
    )
