"""Candidate → SmokeReport."""

import re
from dataclasses import dataclass

from prefect import task
from prefect.cache_policies import NO_CACHE

from slipway.checks import ask, parity, regressions, suites
from slipway.errors import StepFailed
from slipway.settings import Settings
from slipway.system import process
from slipway.system.progress import Progress
from slipway.values import (
    Champion,
    CheckResult,
    Entry,
    LoggedWrapper,
    Prompt,
    RegisteredVersions,
    SmokeReport,
    VariantPrecision,
    WrapperReport,
)
from tasks.context import limits
from tasks.policies import RETRIED, Reporter


@task(
    task_run_name="smoke-test {candidate.model} v{candidate.onnx.version}",
    description="Load both wrappers and the champion from the registry, ask them, compare them.",
    cache_policy=NO_CACHE,
    **RETRIED,
    timeout_seconds=3 * 3600,
)
def smoke_test(
    entry: Entry,
    candidate: RegisteredVersions,
    precision: VariantPrecision,
    champion: Champion | None,
) -> SmokeReport:
    """Return what both wrappers and the champion answered, which checks held, and what differs."""
    settings = Settings()
    prompts = suites.load_prompts(settings.expectations / "prompts" / f"{entry.suite}.json")
    other = champion is not None and champion.version != candidate.onnx.version
    serves = champion.wrapper if champion and other else None
    asking = _Asking(prompts, settings, Reporter("smoke-test", candidate.model), 3 if serves else 2)
    onnx = asking.test(candidate.onnx, "onnx", 0)
    transformers = asking.test(candidate.transformers, "transformers", 1)
    serving = asking.test(serves, "champion", 2) if serves else None
    better = regressions.find(serving, onnx, prompts) if serving else ()
    return SmokeReport(
        onnx=onnx,
        transformers=transformers,
        parity=_parity(onnx, transformers, prompts, precision),
        champion=serving,
        regressions=better,
        against_champion=regressions.weigh(serving, better, prompts),
    )


def _parity(
    onnx: WrapperReport,
    transformers: WrapperReport,
    prompts: tuple[Prompt, ...],
    precision: VariantPrecision,
) -> tuple[CheckResult, ...]:
    """Compare both; a wrapper that could not be asked is a finding of its own."""
    if onnx.answers is None or transformers.answers is None:
        return ()
    return parity.compare(onnx.answers, transformers.answers, prompts, precision)


@dataclass(frozen=True)
class _Asking:
    """Asks several wrappers the same, one after the other, each in a process of its own."""

    prompts: tuple[Prompt, ...]
    settings: Settings
    progress: Progress
    wrappers: int

    def test(self, wrapper: LoggedWrapper, who: str, number: int) -> WrapperReport:
        def tell(line: str) -> None:
            if found := re.match(r"asked (\d+) of (\d+)$", line):
                text = f"asked {who} {found[1]} of {found[2]} prompts"
                self.progress((number + int(found[1]) / int(found[2])) / self.wrappers, text)

        request = ask.AskRequest(
            tracking_uri=self.settings.registry, wrapper=wrapper, prompts=self.prompts
        )
        step = f"smoke-test {who}"
        try:
            outcome = process.call(ask.ask, request, limits(self.settings), step=step, on_line=tell)
        except StepFailed as error:  # a wrapper that cannot be asked is a finding, no fault of ours
            return WrapperReport(wrapper=wrapper, answers=None, checks=(), error=str(error))
        checks = suites.check(outcome.value, self.prompts, self.settings.expectations)
        return WrapperReport(wrapper=wrapper, answers=outcome.value, checks=checks)
