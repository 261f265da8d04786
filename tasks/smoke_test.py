"""Candidate → SmokeReport."""

import re

from prefect import task
from prefect.cache_policies import NO_CACHE

from slipway import child, expectations, smoke
from slipway.errors import StepFailed
from slipway.progress import Progress
from slipway.settings import Settings
from slipway.values import (
    Artifact,
    Candidate,
    Entry,
    LoggedWrapper,
    Prompt,
    SmokeReport,
    Weights,
    WrapperReport,
)
from tasks.edge import limits, place
from tasks.policies import DELAYS_SECONDS, Reporter, worth_retrying


@task(
    task_run_name="smoke-test {candidate.model} v{candidate.onnx.version}",
    description="Load both wrappers from the registry, ask them, check their answers.",
    cache_policy=NO_CACHE,
    retries=2,
    retry_delay_seconds=DELAYS_SECONDS[:2],
    retry_condition_fn=worth_retrying,
    timeout_seconds=3 * 3600,
)
def smoke_test(
    entry: Entry, candidate: Candidate, weights: Weights, artifact: Artifact
) -> SmokeReport:
    """Return what both wrappers answered to the entry's prompts, and which checks held."""
    settings = Settings()
    prompts = expectations.load_prompts(settings.expectations / "prompts" / f"{entry.suite}.json")
    progress = Reporter("smoke-test", candidate.model)
    return SmokeReport(
        onnx=_test(candidate.onnx, prompts, settings, progress),
        transformers=_test(candidate.transformers, prompts, settings, progress),
        size_ratio=artifact.stored.size_bytes / weights.stored.size_bytes,
    )


def _test(
    wrapper: LoggedWrapper, prompts: tuple[Prompt, ...], settings: Settings, progress: Progress
) -> WrapperReport:
    def tell(line: str) -> None:
        if found := re.match(r"asked (\d+) of (\d+)$", line):
            half = 0.5 if wrapper.kind == "transformers" else 0.0
            text = f"asked {wrapper.kind} {found[1]} of {found[2]} prompts"
            progress(half + 0.5 * int(found[1]) / int(found[2]), text)

    request = smoke.AskRequest(place=place(settings), wrapper=wrapper, prompts=prompts)
    step = f"smoke-test {wrapper.kind}"
    try:
        outcome = child.call(smoke.ask, request, limits(settings), step=step, on_line=tell)
    except StepFailed as error:  # a wrapper that cannot be asked is a finding, not a fault of ours
        return WrapperReport(wrapper=wrapper, answers=None, checks=(), error=str(error))
    checks = expectations.check(outcome.value, prompts, settings.expectations)
    return WrapperReport(wrapper=wrapper, answers=outcome.value, checks=checks)
