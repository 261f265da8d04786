"""RegisteredVersions → SmokeReport."""

from dataclasses import dataclass

from prefect import task

from slipway.checks import ask, parity, regressions, suites
from slipway.errors import StepFailed
from slipway.settings import Settings
from slipway.system.call import call
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
from tasks.policies import Reporter, uncached


@task(
    task_run_name="smoke-test {candidate.model} v{candidate.onnx.version}",
    description="Load both wrappers and the champion from the registry, ask them, compare them.",
    **uncached(timeout_seconds=3 * 3600),
)
def smoke_test(
    entry: Entry,
    candidate: RegisteredVersions,
    precision: VariantPrecision,
    champion: Champion | None,
) -> SmokeReport:
    """Return the answers of both wrappers and the champion, and which checks they passed."""
    settings = Settings()
    prompts = suites.load_prompts(settings.expectations / "prompts" / f"{entry.suite}.json")
    other = champion is not None and champion.version != candidate.onnx.version
    serves = champion.wrapper if champion and other else None
    reporter = Reporter("smoke-test", candidate.model)
    tester = _Tester(prompts, settings, reporter, 3 if serves else 2)
    onnx = tester.test(candidate.onnx, "onnx", 0)
    transformers = tester.test(candidate.transformers, "transformers", 1)
    serving = tester.test(serves, "champion", 2) if serves else None
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
    """Compare both; where one gave no answers, the decision reports that instead."""
    if onnx.answers is None or transformers.answers is None:
        return ()
    return parity.compare(onnx.answers, transformers.answers, prompts, precision)


@dataclass(frozen=True)
class _Tester:
    """Asks wrappers the same prompts, one after the other, each in a child process."""

    prompts: tuple[Prompt, ...]
    settings: Settings
    progress: Progress
    wrappers: int

    def test(self, wrapper: LoggedWrapper, who: str, number: int) -> WrapperReport:
        def progress(share: float | None, text: str) -> None:
            self.progress((number + (share or 0)) / self.wrappers, f"{who}: {text}")

        request = ask.AskRequest(
            tracking_uri=self.settings.registry, wrapper=wrapper, prompts=self.prompts
        )
        step, bounds = f"smoke-test {who}", limits(self.settings)
        try:
            answers = call(ask.ask, request, bounds, step=step, progress=progress).value
        except StepFailed as error:  # a result of the test, not a failure of the task
            return WrapperReport(wrapper=wrapper, answers=None, checks=(), error=error.brief)
        checks = suites.check(answers, self.prompts, self.settings.expectations)
        return WrapperReport(wrapper=wrapper, answers=answers, checks=checks)
