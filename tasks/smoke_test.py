"""RegisteredVersions → SmokeReport."""

from dataclasses import dataclass
from pathlib import Path

from prefect import task

from slipway.checks import (
    agreement,
    ask,
    grading,
    parity,
    prompt_files,
    regressions,
    sampled_rates,
    structured_files,
    structured_grades,
    suites,
    tokenization,
)
from slipway.errors import ArtifactChanged, StepFailed, VersionRefused
from slipway.evaluation import gates
from slipway.evaluation.texts import load_texts
from slipway.settings import Settings
from slipway.system.call import call
from slipway.system.process import ProcessLimits
from slipway.system.progress import Progress
from slipway.tracking.verified_copy import CopyPlace, CopyRequest, VerifiedCopy, fetch
from slipway.values import (
    Answers,
    Battery,
    Champion,
    CheckResult,
    Entry,
    Estimate,
    LoggedWrapper,
    Prompt,
    RegisteredVersions,
    SmokeReport,
    VariantPrecision,
    WrapperReport,
)
from tasks.context import limits
from tasks.inform import Reporter
from tasks.policies import uncached

NOTHING_MORE = ask.FurtherQuestions()

#: What a version's own fault raises.
_FAULTS = (StepFailed, ArtifactChanged, VersionRefused)


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
    """Return the answers of both wrappers and the champion, and which checks they passed.

    The reference comes first: what it samples is what the other wrapper samples after it.
    """
    settings = Settings()
    prompts = prompt_files.prompts_of(entry, settings.expectations)
    other = champion is not None and champion.version != candidate.onnx.version
    serves = champion.wrapper if champion and other else None
    reporter = Reporter("smoke-test", candidate.model)
    tester = SmokeTester(prompts, settings, reporter, 3 if serves else 2)
    more = ask.FurtherQuestions(
        texts=tokenization.corpus(load_texts(settings.expectations / "texts" / entry.texts)),
        battery=Battery(sampling=entry.sampling),
        structured=structured_files.request_of(entry, settings.expectations),
    )
    reference = tester.test(candidate.transformers, "transformers", 0, more)
    onnx, transformers, *others = _graded(
        (
            tester.test(candidate.onnx, "onnx", 1, _repeated(more, reference.answers)),
            reference,
            *((tester.test(serves, "champion", 2),) if serves else ()),
        ),
        prompts,
        prompt_files.prompts_path(entry, settings.expectations).parent,
        limits(settings),
    )
    serving = others[0] if others else None
    better = regressions.find(serving, onnx, prompts) if serving else ()
    lost = gates.margin(entry.gates)
    return SmokeReport(
        onnx=onnx,
        transformers=transformers,
        parity=_parity(onnx, transformers, prompts, precision, more.texts),
        champion=serving,
        regressions=better,
        against_champion=regressions.weigh(regressions.CHAMPION, serving, onnx, prompts, lost),
        against_source=regressions.weigh(regressions.SOURCE, transformers, onnx, prompts, lost),
        power=regressions.power(prompts, lost),
        answer_length_ratio=_length_ratio(onnx, transformers, prompts),
        sampled=sampled_rates.compare(transformers.answers, onnx.answers),
        structured=structured_grades.compare(
            more.structured.prompts,
            transformers.answers,
            onnx.answers,
            gates.margin(entry.gates, "lost_questions"),
            limits(settings),
        ),
    )


def _repeated(more: ask.FurtherQuestions, source: Answers | None) -> ask.FurtherQuestions:
    """Return what the candidate does: it samples and reads what its source did."""
    return more.model_copy(
        update={
            "battery": sampled_rates.battery_of(source),
            "structured": structured_files.repeated(more.structured, source),
        }
    )


def _graded(
    reports: tuple[WrapperReport, ...],
    prompts: tuple[Prompt, ...],
    judges: Path,
    bounds: ProcessLimits,
) -> list[WrapperReport]:
    """Return the reports with what is known of each answer: whether it is right."""
    answers = tuple(report.answers for report in reports)
    return [
        report.model_copy(
            update={
                "grades": grades,
                "checks": (*report.checks, *grading.check_decided(grades, prompts)),
            }
        )
        for report, grades in zip(
            reports, grading.grade(prompts, answers, judges, bounds), strict=True
        )
    ]


def _parity(
    onnx: WrapperReport,
    transformers: WrapperReport,
    prompts: tuple[Prompt, ...],
    precision: VariantPrecision,
    texts: tuple[str, ...],
) -> tuple[CheckResult, ...]:
    """Compare both; where one gave no answers, the decision reports that instead."""
    if onnx.answers is None or transformers.answers is None:
        return ()
    return (
        *parity.compare(onnx.answers, transformers.answers, prompts, precision),
        *parity.compare_tokens(onnx.answers, transformers.answers, texts),
    )


def _length_ratio(
    onnx: WrapperReport, transformers: WrapperReport, prompts: tuple[Prompt, ...]
) -> Estimate | None:
    if onnx.answers is None or transformers.answers is None:
        return None
    return agreement.length_ratio(agreement.pairs(onnx.answers, transformers.answers, prompts))


@dataclass(frozen=True)
class SmokeTester:
    """Asks wrappers the same prompts, one after the other, each in a child process."""

    prompts: tuple[Prompt, ...]
    settings: Settings
    progress: Progress
    wrappers: int

    def test(
        self,
        wrapper: LoggedWrapper,
        who: str,
        number: int,
        more: ask.FurtherQuestions = NOTHING_MORE,
    ) -> WrapperReport:
        """Return the answers of a version, or why there are none.

        Args:
            wrapper: The version.
            who: Its name in the progress and in the log.
            number: How many were asked before.
            more: What it does after the prompts.
        """

        def progress(share: float | None, text: str) -> None:
            self.progress((number + (share or 0)) / self.wrappers, f"{who}: {text}")

        step, bounds = f"smoke-test {who}", limits(self.settings)
        try:
            folder = self._copy(wrapper, decided=who == "champion").folder
            request = ask.AskRequest(
                folder=folder,
                wrapper=wrapper,
                prompts=self.prompts,
                **dict(more),
            )
            answers = call(ask.ask, request, bounds, step=step, progress=progress).value
        except _FAULTS as error:  # a result of the test, not a failure of the task
            return WrapperReport(wrapper=wrapper, answers=None, checks=(), error=error.brief)
        checks = suites.check(answers, self.prompts, self.settings.expectations)
        return WrapperReport(wrapper=wrapper, answers=answers, checks=checks)

    def _copy(self, wrapper: LoggedWrapper, *, decided: bool) -> VerifiedCopy:
        place = CopyPlace.of(self.settings)
        request = CopyRequest(
            place=place,
            name=wrapper.name,
            version=wrapper.version,
            kind=wrapper.kind,
            decided=decided,
        )
        files = fetch(request)
        place.remove_unused(wrapper.name, keep={wrapper.version})
        return files
