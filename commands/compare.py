"""``slipway compare``: two versions side by side, or the candidates of the last release."""

from collections.abc import Iterator, Mapping, Sequence

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
    """Show two versions side by side: metrics, gates, what changed, answers that differ.

    Without versions, `previous` is compared with the champion; if there are no two versions to
    compare, the candidates of the last release are shown.

    Args:
        model: Name of an entry in catalogue.toml.
        before: Number of the earlier version. Default: `previous`, or else the highest number below
            the champion.
        after: Number of the later version. Default: the champion.
        json: Print the result as JSON.
    """
    settings = Settings()
    name = catalogue.find(settings.catalogue, model).name
    if not settings.has_registry:
        raise _not_released(name)
    from slipway.registry import open_registry

    where = mlflow_location(settings)
    aliases = open_registry(settings).aliases(name)
    before, after = _versions(name, before, after, aliases, where)
    if before is None or after is None:
        return _show_candidates(name, where, json=json)
    records = (_record(name, version, aliases, where) for version in (before, after))
    found = comparison.compare(name, *records)
    if json:
        console.show(found.model_dump(mode="json"))
    else:
        _show(found)
    return 0


def _versions(
    name: str,
    before: int | None,
    after: int | None,
    aliases: Mapping[str, int],
    location: MlflowLocation,
) -> tuple[int | None, int | None]:
    """Return the versions to compare; None for one that does not exist."""
    champion = aliases.get("champion")
    if before is not None and after is None and champion is None:
        raise SourceMissing(f"champion of {name}", "name two versions to compare")
    if before is None and champion is not None:
        older = [each for each in read_run.versions(name, location) if each < champion]
        before = aliases.get("previous") or max(older, default=None)
    return before, after or champion


def _record(
    name: str, version: int, aliases: Mapping[str, int], location: MlflowLocation
) -> ReleaseRecord:
    """Return the record of a version, named by its number and its aliases."""
    roles = [alias for alias in ("champion", "previous") if aliases.get(alias) == version]
    title = ", ".join([f"version {version}", *roles])
    return read_run.release(read_run.run_of(name, version, location), title, location)


def _show(found: Comparison) -> None:
    sides = ("", found.before.name, found.after.name)
    rows = [*_facts(found.before, found.after), *map(_figure, found.figures)]
    console.table(found.model, (*sides, "change"), rows)
    changes = [(each.what, _cut(each.before), _cut(each.after)) for each in found.changes]
    _list("What changed", sides, changes, MOST_CHANGES)
    answers = [(each.prompt_id, _cut(each.before), _cut(each.after)) for each in found.differing]
    _list("Answers that differ", sides, answers, MOST_ANSWERS)


def _facts(before: ReleaseRecord, after: ReleaseRecord) -> Iterator[tuple[str, str, str, str]]:
    yield "candidate", before.variant, after.variant, ""
    yield "verdict", before.verdict or units.ABSENT, after.verdict or units.ABSENT, ""
    yield "gates", _gates(before.gates), _gates(after.gates), ""


def _gates(gates: Sequence[GateResult]) -> str:
    """Return how many gates passed, and each of the others in words."""
    if not gates:
        return "not recorded"
    others = [f"{gate.metric} {gate.rule}" for gate in gates if gate.state != "pass"]
    return "\n".join([f"{len(gates) - len(others)} of {len(gates)} passed", *others])


def _figure(change: FigureChange) -> tuple[str, str, str, str]:
    before, after = (units.figure(change.metric, each) for each in (change.before, change.after))
    share = "" if change.share is None else f"{change.share:+.1%}, "
    return change.metric, before, after, "" if change.trend == "equal" else share + change.trend


def _list(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], most: int) -> None:
    """Print the first rows of a list, and how many there are."""
    console.say()
    if not rows:
        console.say(f"{title}: none")
        return
    rest = f" ({most} of {len(rows)}; --json has all)" if len(rows) > most else ""
    console.table(title + rest, head, rows[:most])


def _cut(text: str | None) -> str:
    line = units.ABSENT if text is None else " ".join(text.split())
    return line if len(line) <= CHARACTERS else line[: CHARACTERS - 1] + "…"


def _show_candidates(name: str, location: MlflowLocation, *, json: bool) -> int:
    """Show the candidates of the last release."""
    run_id = read_run.last_release(name, location)
    if run_id is None:
        raise _not_released(name)
    found = read_run.candidates(run_id, location)
    if json:
        candidates = [each.model_dump(mode="json") for each in found]
        console.show({"model": name, "run_id": run_id, "candidates": candidates})
        return 0
    names = short_names([each.variant for each in found])
    rows = [
        (
            names[each.variant],
            each.verdict or units.ABSENT,
            *(units.brief(metric, each.figures.get(metric)) for metric in COLUMNS),
        )
        for each in found
    ]
    title = f"{name}: candidates of the last release, since there are no two versions"
    console.table(title, ("candidate", "state", *COLUMNS.values()), rows)
    _list("Reasons", ("candidate", ""), [(each.name, each.reasons) for each in found], len(found))
    return 0


def _not_released(name: str) -> SourceMissing:
    return SourceMissing(f"a release of {name}", f"run `slipway release {name}`")
