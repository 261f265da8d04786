"""The report as Markdown, in full and in short."""

from collections.abc import Iterator

from slipway.evaluation import units
from slipway.report.candidates import candidates_table, gates_table, groups_table
from slipway.report.comparing import changes_table, regressions_table
from slipway.report.next_steps import next_steps
from slipway.report.prose import address, bullets, plain, table
from slipway.report.tables import (
    answers_table,
    asked_both,
    checks_passed,
    checks_tables,
    figures_table,
)
from slipway.tracking.metrics import median_latency_ms, size_ratio
from slipway.values import LoggedWrapper, ReleaseSummary, Source, Verdict

REASONS, REASON_CHARACTERS = 4, 200  # the registry keeps 5,000 characters
PICTURE_TEXT = "Every candidate: its size, its distance from the source, and its speed"
CONTRACTS = {"prompt": "a text in, a text out", "chat": "messages in, a chat completion out"}
HEADLINES = {"promoted": "✅ Promoted", "rejected": "⛔ Kept", "inconclusive": "❔ Inconclusive"}


def markdown(summary: ReleaseSummary, picture: str) -> str:
    """Return the whole report: verdict, why this candidate, what is new, and then the details.

    Args:
        summary: Everything about the release.
        picture: Address of the picture. MLflow's page shows ``http(s):`` addresses alone, Prefect's
            also ``data:`` ones.

    Returns:
        GitHub-flavoured Markdown without HTML.
    """
    parts = (
        f"# {_headline(summary)}: {plain(summary.entry.title)}",
        _sentence(summary),
        _links(summary),
        *_why(summary, picture),
        f"## What to do next\n\n{next_steps(summary)}",
        *_since(summary),
        f"## Answers\n\n{answers_table(summary)}",
        *_details(summary),
    )
    return "\n\n".join(parts) + "\n"


def _why(summary: ReleaseSummary, picture: str) -> Iterator[str]:
    """Yield the picture, the candidates, and the gates of the chosen one."""
    choice = summary.selection
    chosen = f"**{plain(choice.variant)}**: {plain(choice.reason, REASON_CHARACTERS)}."
    yield f"![{PICTURE_TEXT}]({address(picture)})"
    yield f"## Why this candidate\n\n{chosen}\n\n{candidates_table(choice)}"
    yield f"## Gates of the chosen candidate\n\n{gates_table(summary.gates)}"


def _since(summary: ReleaseSummary) -> Iterator[str]:
    """Yield what is not as in the champion; nothing without one."""
    if summary.champion is None:
        return
    changes = changes_table(summary.changes) if summary.changes else "Nothing that is recorded."
    yield f"## What changed since version {summary.champion}\n\n{changes}"
    if summary.report.regressions:
        worse = regressions_table(summary.report.regressions)
        yield f"## What version {summary.champion} answers better\n\n{worse}"


def _details(summary: ReleaseSummary) -> Iterator[str]:
    """Yield what few readers need: every figure, every check, where all of it comes from."""
    yield f"## Figures\n\n{figures_table(summary)}"
    if groups := groups_table(summary.selection.chosen.evaluation.fidelity):
        yield f"### KL divergence by kind of text\n\n{groups}"
    yield f"## Checks\n\n{checks_tables(summary)}"
    yield f"## Origin\n\n{_facts(summary)}"


def description(summary: ReleaseSummary) -> str:
    """Return the report in short, for the description of a version in the registry.

    Args:
        summary: Everything about the release.

    Returns:
        Markdown: verdict, five figures, origin and links.
    """
    entry, revision = summary.entry, summary.weights.revision
    origin = f"Made from {entry.source.repo} at `{revision.commit}`"
    parts = (
        f"**{_headline(summary)}.** {_sentence(summary)}",
        bullets(_five_figures(summary)),
        f"{origin} as {plain(summary.artifact.variant)}; license {_licence(summary)}.",
        _links(summary),
    )
    return "\n\n".join(parts) + "\n"


def _headline(summary: ReleaseSummary) -> str:
    """Return the verdict in a word; what waits for a person is not promoted yet."""
    if summary.verdict.kind == "promoted" and summary.entry.target != "champion":
        return "✅ Passed"
    return HEADLINES[summary.verdict.kind]


def _sentence(summary: ReleaseSummary) -> str:
    """Say what becomes of the version, and why."""
    reasons = summary.verdict.reasons
    said = [plain(reason, REASON_CHARACTERS) for reason in reasons[:REASONS]]
    if len(reasons) > REASONS:
        said.append(f"and {len(reasons) - REASONS} more")
    return f"{_outcome(summary)}: {'; '.join(said)}."


def _outcome(summary: ReleaseSummary) -> str:
    version = f"Version {summary.versions.onnx.version} of `{summary.entry.name}`"
    stays, before = "no version serves yet", ""
    if summary.champion is not None:
        stays = f"version {summary.champion} stays the champion"
        before = f" from version {summary.champion}"
    if summary.verdict.kind == "inconclusive":
        return f"{version} could not be judged, so it was not promoted, and {stays}"
    if summary.verdict.kind == "rejected":
        return f"{version} was not promoted, and {stays}"
    if summary.entry.aliases == "candidate":
        return f"{version} waits as candidate for a person to promote it, and {stays}"
    if summary.entry.target == "approval":
        return f"{version} takes over as champion{before} if a person approves it"
    return f"{version} takes over as champion{before}"


def _five_figures(summary: ReleaseSummary) -> tuple[str, ...]:
    size, source = summary.artifact.stored.size_bytes, summary.weights.stored.size_bytes
    share = f"{units.percent(size_ratio(summary))} of the source's {units.size(source)}"
    pairs = {
        "Median time of an answer": asked_both(
            summary, lambda said: units.latency(median_latency_ms(said))
        ),
        "Speed": asked_both(summary, lambda said: units.speed(said.tokens_per_second)),
        "Peak memory": asked_both(summary, lambda said: units.size(said.peak_memory_bytes)),
        "Checks passed": checks_passed(summary),
    }
    compared = (
        f"{name}: {onnx} (transformers: {reference})" for name, (onnx, reference) in pairs.items()
    )
    return f"Size: {units.size(size)}, {share}", *compared


def _facts(summary: ReleaseSummary) -> str:
    entry, candidate, weights = summary.entry, summary.versions, summary.weights
    champion = "none" if summary.champion is None else f"version {summary.champion}"
    rows = (
        ("Source", f"{entry.source.repo}, {_place(entry.source)}"),
        ("Commit", f"`{weights.revision.commit}`"),
        ("License", _licence(summary)),
        ("ONNX artifact", _artifact(summary)),
        ("ONNX wrapper", _wrapper(candidate.onnx, summary.verdict)),
        ("transformers wrapper", _wrapper(candidate.transformers, summary.verdict)),
        ("Champion before", champion),
    )
    return table(("Model", f"{plain(entry.title)} (`{entry.name}`)"), rows)


def _place(source: Source) -> str:
    """Say where a source is; never the path of a folder."""
    if source.kind == "hub":
        return f"{plain(source.ref)} on the Hugging Face Hub"
    return "a folder" if source.kind == "folder" else f"from the package {plain(source.package)}"


def _licence(summary: ReleaseSummary) -> str:
    return plain(summary.weights.revision.license or "not declared")


def _artifact(summary: ReleaseSummary) -> str:
    variant, origin = plain(summary.artifact.variant), summary.artifact.origin
    if origin is None:
        return f"{variant}, quantized here"
    repo, _, commit = origin.rpartition("@")
    return f"{variant}, published in {plain(repo)} at {plain(commit)}"


def _wrapper(wrapper: LoggedWrapper, verdict: Verdict) -> str:
    """Name a wrapper by an address that holds: what is not promoted leaves the registry."""
    promoted = verdict.kind == "promoted"
    where = f"`{wrapper.uri}`" if promoted else f"`models:/{wrapper.model_id}`, not registered"
    return f"{where}; contract {wrapper.contract}, {CONTRACTS[wrapper.contract]}"


def _links(summary: ReleaseSummary) -> str:
    links = {"MLflow run": summary.mlflow_url, "Prefect run": summary.flow_run_url}
    return " · ".join(f"[{text}]({address(url)})" for text, url in links.items() if url)
