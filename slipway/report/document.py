"""The report as Markdown, in full and in short."""

from collections.abc import Iterator

from slipway.report import units
from slipway.report.candidates import candidates_table, gates_table, groups_table
from slipway.report.comparing import changes_table, regressions_table
from slipway.report.figures import median_latency_ms, size_ratio
from slipway.report.next_steps import next_steps
from slipway.report.prose import address, bullets, plain, table
from slipway.report.tables import (
    answers_table,
    asked_both,
    checks_passed,
    checks_tables,
    figures_table,
)
from slipway.values import Dossier, LoggedWrapper, Source, Verdict

REASONS, REASON_CHARACTERS = 4, 200  # the registry keeps 5,000 characters
PICTURE_TEXT = "Every candidate: its size, its distance from the source, and its speed"
CONTRACTS = {"prompt": "a text in, a text out", "chat": "messages in, a chat completion out"}
HEADLINES = {"promote": "✅ Promoted", "keep": "⛔ Kept", "inconclusive": "❔ Inconclusive"}


def markdown(dossier: Dossier, picture: str) -> str:
    """Return the whole report: verdict, why this candidate, what is new, and then the details.

    Args:
        dossier: Everything about the release.
        picture: Address of the picture. MLflow's page shows ``http(s):`` addresses alone, Prefect's
            also ``data:`` ones.

    Returns:
        GitHub-flavoured Markdown without HTML.
    """
    parts = (
        f"# {_headline(dossier)}: {plain(dossier.entry.title)}",
        _sentence(dossier),
        _links(dossier),
        *_why(dossier, picture),
        f"## What to do next\n\n{next_steps(dossier)}",
        *_since(dossier),
        f"## Answers\n\n{answers_table(dossier)}",
        *_details(dossier),
    )
    return "\n\n".join(parts) + "\n"


def _why(dossier: Dossier, picture: str) -> Iterator[str]:
    """Yield the picture, the candidates, and the gates of the chosen one."""
    choice = dossier.choice
    chosen = f"**{plain(choice.variant)}**: {plain(choice.reason, REASON_CHARACTERS)}."
    yield f"![{PICTURE_TEXT}]({address(picture)})"
    yield f"## Why this candidate\n\n{chosen}\n\n{candidates_table(choice)}"
    yield f"## Gates of the chosen candidate\n\n{gates_table(dossier.gates)}"


def _since(dossier: Dossier) -> Iterator[str]:
    """Yield what is not as in the champion; nothing without one."""
    if dossier.champion is None:
        return
    changes = changes_table(dossier.changes) if dossier.changes else "Nothing that is recorded."
    yield f"## What changed since version {dossier.champion}\n\n{changes}"
    if dossier.report.regressions:
        worse = regressions_table(dossier.report.regressions)
        yield f"## What version {dossier.champion} answers better\n\n{worse}"


def _details(dossier: Dossier) -> Iterator[str]:
    """Yield what few readers need: every figure, every check, where all of it comes from."""
    yield f"## Figures\n\n{figures_table(dossier)}"
    if groups := groups_table(dossier.choice.chosen.trial.fidelity):
        yield f"### KL divergence by kind of text\n\n{groups}"
    yield f"## Checks\n\n{checks_tables(dossier)}"
    yield f"## Origin\n\n{_facts(dossier)}"


def description(dossier: Dossier) -> str:
    """Return the report in short, for the description of a version in the registry.

    Args:
        dossier: Everything about the release.

    Returns:
        Markdown: verdict, five figures, origin and links.
    """
    entry, revision = dossier.entry, dossier.weights.revision
    origin = f"Made from {entry.source.repo} at `{revision.commit}`"
    parts = (
        f"**{_headline(dossier)}.** {_sentence(dossier)}",
        bullets(_five_figures(dossier)),
        f"{origin} as {plain(dossier.artifact.variant)}; licence {_licence(dossier)}.",
        _links(dossier),
    )
    return "\n\n".join(parts) + "\n"


def _headline(dossier: Dossier) -> str:
    """Return the verdict in a word; what waits for a person is not promoted yet."""
    if dossier.verdict.kind == "promote" and dossier.entry.goal != "champion":
        return "✅ Passed"
    return HEADLINES[dossier.verdict.kind]


def _sentence(dossier: Dossier) -> str:
    """Say what becomes of the version, and why."""
    reasons = dossier.verdict.reasons
    said = [plain(reason, REASON_CHARACTERS) for reason in reasons[:REASONS]]
    if len(reasons) > REASONS:
        said.append(f"and {len(reasons) - REASONS} more")
    return f"{_outcome(dossier)}: {'; '.join(said)}."


def _outcome(dossier: Dossier) -> str:
    version = f"Version {dossier.candidate.onnx.version} of `{dossier.entry.name}`"
    stays, before = "no version serves yet", ""
    if dossier.champion is not None:
        stays = f"version {dossier.champion} stays the champion"
        before = f" from version {dossier.champion}"
    if dossier.verdict.kind == "inconclusive":
        return f"{version} could not be judged, so it was not promoted, and {stays}"
    if dossier.verdict.kind == "keep":
        return f"{version} was not promoted, and {stays}"
    if dossier.entry.aliases == "candidate":
        return f"{version} waits as candidate for a person to promote it, and {stays}"
    if dossier.entry.goal == "approval":
        return f"{version} takes over as champion{before} if a person approves it"
    return f"{version} takes over as champion{before}"


def _five_figures(dossier: Dossier) -> tuple[str, ...]:
    size, source = dossier.artifact.stored.size_bytes, dossier.weights.stored.size_bytes
    share = f"{units.percent(size_ratio(dossier))} of the source's {units.size(source)}"
    pairs = {
        "Median time of an answer": asked_both(
            dossier, lambda said: units.latency(median_latency_ms(said))
        ),
        "Speed": asked_both(dossier, lambda said: units.speed(said.tokens_per_second)),
        "Peak memory": asked_both(dossier, lambda said: units.size(said.peak_memory_bytes)),
        "Checks passed": checks_passed(dossier),
    }
    compared = (
        f"{name}: {onnx} (transformers: {reference})" for name, (onnx, reference) in pairs.items()
    )
    return f"Size: {units.size(size)}, {share}", *compared


def _facts(dossier: Dossier) -> str:
    entry, candidate, weights = dossier.entry, dossier.candidate, dossier.weights
    champion = "none" if dossier.champion is None else f"version {dossier.champion}"
    rows = (
        ("Source", f"{entry.source.repo}, {_place(entry.source)}"),
        ("Commit", f"`{weights.revision.commit}`"),
        ("Licence", _licence(dossier)),
        ("ONNX artifact", _artifact(dossier)),
        ("ONNX wrapper", _wrapper(candidate.onnx, dossier.verdict)),
        ("transformers wrapper", _wrapper(candidate.transformers, dossier.verdict)),
        ("Champion before", champion),
    )
    return table(("Model", f"{plain(entry.title)} (`{entry.name}`)"), rows)


def _place(source: Source) -> str:
    """Say where a source is; never the path of a folder."""
    if source.kind == "hub":
        return f"{plain(source.ref)} on the Hugging Face Hub"
    return "a folder" if source.kind == "folder" else f"from the package {plain(source.package)}"


def _licence(dossier: Dossier) -> str:
    return plain(dossier.weights.revision.licence or "not declared")


def _artifact(dossier: Dossier) -> str:
    variant, origin = plain(dossier.artifact.variant), dossier.artifact.origin
    if origin is None:
        return f"{variant}, quantized here"
    repo, _, commit = origin.rpartition("@")
    return f"{variant}, published in {plain(repo)} at {plain(commit)}"


def _wrapper(wrapper: LoggedWrapper, verdict: Verdict) -> str:
    """Name a wrapper by an address that holds: what is not promoted leaves the registry."""
    promoted = verdict.kind == "promote"
    where = f"`{wrapper.uri}`" if promoted else f"`models:/{wrapper.model_id}`, not registered"
    return f"{where}; contract {wrapper.contract}, {CONTRACTS[wrapper.contract]}"


def _links(dossier: Dossier) -> str:
    links = {"MLflow run": dossier.mlflow_url, "Prefect run": dossier.flow_run_url}
    return " · ".join(f"[{text}]({address(url)})" for text, url in links.items() if url)
