"""``slipway compare``: two versions side by side, or the candidates of the last release."""

from collections.abc import Iterator, Sequence

from commands import console
from slipway import catalogue
from slipway.errors import SourceMissing
from slipway.evaluation import units
from slipway.evaluation.outcome import short_names
from slipway.report import comparison
from slipway.settings import Settings
from slipway.tracking import read_run
from slipway.tracking.location import MlflowLocation, mlflow_location
from slipway.values import Comparison, FigureChange, GateResult, Metric, ReleaseRecord

MOST_CHANGES, MOST_ANSWERS, CHARACTERS = 8, 5, 60
COLUMNS: dict[Metric, str] = {
    "size_bytes": "size",
    "kl_mean": "KL",
    "top1_agreement": "top-1",
    "perplexity_ratio": "perplexity",
    "decode_tokens_per_second": "speed",
}


def compare(
    model: str, before: int | None = None, after: int | None = None, *, json: bool = False
) -> int:
    """Show two versions side by side: figures, gates, what changed, answers that differ.

    Without versions, the champion is compared with the one before it; where there is none, the
    candidates of the last release are shown.

    Args:
        model: Name of an entry in catalogue.toml.
        before: Number of the earlier version.
        after: Number of the later version; the champion if only one is named.
        json: Print it as JSON.
    """
    settings = Settings()
    name = catalogue.find(settings.catalogue, model).name
    if not settings.has_registry:
        raise _unreleased(name)
    from slipway.registry import open_registry

    where = mlflow_location(settings)
    aliases = open_registry(settings).aliases(name)
    pair = _pair(name, before, after, aliases, where)
    if pair is None:
        return _candidates(name, where, json=json)
    found = comparison.of(name, *(_version(name, each, aliases, where) for each in pair))
    console.show(found.model_dump(mode="json")) if json else _print(found)
    return 0


def _pair(
    name: str,
    before: int | None,
    after: int | None,
    aliases: dict[str, int],
    location: MlflowLocation,
) -> tuple[int, int] | None:
    """Return the versions to compare; None if there is but one, and none was named."""
    champion = aliases.get("champion")
    if before is not None and after is None and champion is None:
        raise SourceMissing(f"champion of {name}", "name two versions to compare")
    if before is None and champion is not None:
        older = [each for each in read_run.versions(name, location) if each < champion]
        before = aliases.get("previous") or max(older, default=None)
    after = after or champion
    return (before, after) if before is not None and after is not None else None


def _version(
    name: str, version: int, aliases: dict[str, int], location: MlflowLocation
) -> ReleaseRecord:
    """Return what a version left behind, called by its number and what it is."""
    roles = [alias for alias in ("champion", "previous") if aliases.get(alias) == version]
    called = ", ".join([f"version {version}", *roles])
    return read_run.release(read_run.run_of(name, version, location), called, location)


def _print(found: Comparison) -> None:
    rows = [*_facts(found.before, found.after), *(_figure(step) for step in found.figures)]
    console.table(found.model, ("", found.before.name, found.after.name, "change"), rows)
    sides = ("", found.before.name, found.after.name)
    changed = [(each.what, _cut(each.before), _cut(each.after)) for each in found.changes]
    _list("What changed", sides, changed, MOST_CHANGES, "nothing that is recorded")
    answers = [(each.prompt_id, _cut(each.before), _cut(each.after)) for each in found.differing]
    _list("Answers that differ", sides, answers, MOST_ANSWERS, "none")


def _facts(before: ReleaseRecord, after: ReleaseRecord) -> Iterator[tuple[str, str, str, str]]:
    yield "candidate", before.variant, after.variant, ""
    yield "verdict", before.verdict or units.ABSENT, after.verdict or units.ABSENT, ""
    yield "gates", _gates(before.gates), _gates(after.gates), ""


def _gates(gates: Sequence[GateResult]) -> str:
    """Say how many gates hold, and which do not."""
    if not gates:
        return "not recorded"
    broken = [gate.metric for gate in gates if gate.state != "pass"]
    held = f"{len(gates) - len(broken)} of {len(gates)} hold"
    return f"{held}, not {', '.join(broken)}" if broken else held


def _figure(step: FigureChange) -> tuple[str, str, str, str]:
    before, after = (units.figure(step.metric, each) for each in (step.before, step.after))
    share = "" if step.share is None else f"{step.share:+.1%}, "
    return step.metric, before, after, "" if step.trend == "equal" else share + step.trend


def _list(
    title: str, head: Sequence[str], rows: Sequence[Sequence[str]], most: int, nothing: str
) -> None:
    """Print the first rows of a list, and how many there are besides."""
    print()
    if not rows:
        print(f"{title}: {nothing}")
        return
    rest = "" if len(rows) <= most else f" ({most} of {len(rows)}; --json has all)"
    console.table(title + rest, head, rows[:most])


def _cut(text: str | None) -> str:
    line = units.ABSENT if text is None else " ".join(text.split())
    return line if len(line) <= CHARACTERS else line[: CHARACTERS - 1] + "…"


def _candidates(name: str, location: MlflowLocation, *, json: bool) -> int:
    """Show the candidates of the last release."""
    run_id = read_run.last_release(name, location)
    if run_id is None:
        raise _unreleased(name)
    found = read_run.candidates(run_id, location)
    if json:
        candidates = [each.model_dump(mode="json") for each in found]
        console.show({"model": name, "run_id": run_id, "candidates": candidates})
        return 0
    names = short_names([each.variant for each in found])
    rows = [_candidate(names[each.variant], each) for each in found]
    title = f"{name}: candidates of the last release, since there are no two versions"
    console.table(title, ("candidate", "verdict", *COLUMNS.values()), rows)
    _list("Why", ("candidate", ""), [(each.name, each.reasons) for each in found], len(found), "")
    return 0


def _candidate(name: str, record: ReleaseRecord) -> tuple[str, ...]:
    """Return one row; only the divergence has room for its interval."""
    figures = (units.brief(metric, record.figures.get(metric)) for metric in COLUMNS)
    return name, record.verdict or units.ABSENT, *figures


def _unreleased(name: str) -> SourceMissing:
    return SourceMissing(f"a release of {name}", f"run `slipway release {name}`")
