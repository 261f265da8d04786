"""The report as Markdown, in full and in short."""

from slipway.report import units
from slipway.report.figures import median_latency_ms
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
PICTURE_TEXT = "Size of source and ONNX artifact, and speed of both wrappers"
CONTRACTS = {"prompt": "a text in, a text out", "chat": "messages in, a chat completion out"}
HEADLINES = {"promote": "✅ Promoted", "keep": "⛔ Kept", "inconclusive": "❔ Inconclusive"}


def markdown(dossier: Dossier, picture: str) -> str:
    """Return the whole report: verdict, facts, picture and figures, and then the details.

    Args:
        dossier: Everything about the release.
        picture: Address of the picture. MLflow's page shows ``http(s):`` addresses alone, Prefect's
            also ``data:`` ones.

    Returns:
        GitHub-flavoured Markdown without HTML.
    """
    parts = (
        f"# {HEADLINES[dossier.verdict.kind]}: {plain(dossier.entry.title)}",
        _sentence(dossier),
        _facts(dossier),
        f"![{PICTURE_TEXT}]({address(picture)})",
        f"## Figures\n\n{figures_table(dossier)}",
        f"## Checks\n\n{checks_tables(dossier)}",
        f"## Answers\n\n{answers_table(dossier)}",
        f"## What to do next\n\n{next_steps(dossier)}",
    )
    return "\n\n".join(parts) + "\n"


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
        f"**{HEADLINES[dossier.verdict.kind]}.** {_sentence(dossier)}",
        bullets(_five_figures(dossier)),
        f"{origin} as {plain(dossier.artifact.variant)}; licence {_licence(dossier)}.",
        _links(dossier),
    )
    return "\n\n".join(parts) + "\n"


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
    return f"{version} takes over as champion{before}"


def _five_figures(dossier: Dossier) -> tuple[str, ...]:
    size, source = dossier.artifact.stored.size_bytes, dossier.weights.stored.size_bytes
    share = f"{units.percent(dossier.report.size_ratio)} of the source's {units.size(source)}"
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
        ("Links", _links(dossier)),
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
