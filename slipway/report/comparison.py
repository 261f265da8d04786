"""Compares two releases: their figures, what they are made of, and their answers. Pure."""

from collections.abc import Iterator, Mapping

from slipway.values import (
    HIGHER_IS_BETTER,
    METRICS,
    TIMED,
    UNDIRECTED,
    AnswerChange,
    Change,
    Comparison,
    Estimate,
    FigureChange,
    Figures,
    Manifest,
    Metric,
    ReleaseRecord,
    Trend,
    short,
)

LEAST_SHARE = 0.05  # by which two timings of one artifact on an idle machine may differ
DIGEST_DIGITS = 12  # enough to tell two digests apart


def compare(model: str, before: ReleaseRecord, after: ReleaseRecord) -> Comparison:
    """Compare two releases of a model."""
    return Comparison(
        model=model,
        before=before,
        after=after,
        figures=figure_changes(before.figures, after.figures),
        changes=manifest_changes(before.manifest, after.manifest),
        differing=answer_changes(before.answers, after.answers),
    )


def figure_changes(before: Figures, after: Figures) -> tuple[FigureChange, ...]:
    """Return every figure that either release has, in the catalogue's order."""
    return tuple(
        _figure_change(metric, before.get(metric), after.get(metric))
        for metric in METRICS
        if metric in before or metric in after
    )


def answer_changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[AnswerChange, ...]:
    """Return the prompts that both releases answered, and differently."""
    return tuple(
        AnswerChange(prompt_id=prompt_id, before=answer, after=after[prompt_id])
        for prompt_id, answer in before.items()
        if after.get(prompt_id, answer) != answer
    )


def manifest_changes(before: Manifest | None, after: Manifest | None) -> tuple[Change, ...]:
    """Return what differs between two manifests, the origin first and single files last.

    Args:
        before: None for a release of before manifests were stored.
        after: Likewise.

    Returns:
        One change for each entry that differs, is new or is gone. Digests are cut to 12 digits. A
        configuration file of which entries are listed is not listed itself.
    """
    if before is None or after is None:
        states = ["recorded" if each else "not recorded" for each in (before, after)]
        return (Change(what="manifest", before=states[0], after=states[1]),)
    settings = [*_changes(before.settings, after.settings)]
    listed = {change.what.partition(":")[0] for change in settings}
    return (
        *_changes(_origin(before), _origin(after)),
        *settings,
        *_changes(before.tools, after.tools, "tools: "),
        *_file_changes("weights: ", before.weights, after.weights, listed),
        *_file_changes("artifact: ", before.artifact, after.artifact, listed),
    )


def _figure_change(metric: Metric, before: Estimate | None, after: Estimate | None) -> FigureChange:
    share = after.value / before.value - 1 if before and after and before.value else None
    trend = _trend(metric, before, after)
    return FigureChange(metric=metric, before=before, after=after, share=share, trend=trend)


def _trend(metric: Metric, before: Estimate | None, after: Estimate | None) -> Trend:
    if before is None or after is None:
        return "not comparable"
    if before.value == after.value:
        return "equal"
    if metric in UNDIRECTED:
        return "different"
    if before.low <= after.high and after.low <= before.high:
        return "within the interval"
    if metric in TIMED and abs(after.value - before.value) < LEAST_SHARE * before.value:
        return "too small to tell"
    rose = after.value > before.value
    return "better" if rose == (metric in HIGHER_IS_BETTER) else "worse"


def _origin(manifest: Manifest) -> dict[str, str]:
    template = manifest.chat_template_digest
    origin = {
        "source": manifest.repo,
        "commit": short(manifest.commit, DIGEST_DIGITS),
        "license": manifest.license,
        "chat template": template and template[:DIGEST_DIGITS],
        "candidate": manifest.variant,
    }
    return {name: value for name, value in origin.items() if value is not None}


def _file_changes(
    prefix: str, before: Mapping[str, str], after: Mapping[str, str], listed: set[str]
) -> Iterator[Change]:
    """Yield the files whose digests differ, but for those ``listed`` by their entries."""
    old, new = (
        {path: digest[:DIGEST_DIGITS] for path, digest in each.items() if path not in listed}
        for each in (before, after)
    )
    yield from _changes(old, new, prefix)


def _changes(
    before: Mapping[str, str], after: Mapping[str, str], prefix: str = ""
) -> Iterator[Change]:
    for name in dict.fromkeys([*before, *after]):
        if before.get(name) != after.get(name):
            yield Change(what=prefix + name, before=before.get(name), after=after.get(name))
