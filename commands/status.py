"""``slipway status``, ``history`` and ``doctor``: they change nothing."""

from typing import TYPE_CHECKING, Any

from commands import console
from commands.options import Count
from slipway import catalogue
from slipway.settings import Settings
from slipway.tracking.tag_values import ReleaseOrigin
from slipway.tracking.tags import SIGNATURE
from slipway.values import ChampionPeriod, Entry, registered_name, short

if TYPE_CHECKING:
    from slipway.registry import Registry

_PERIODS = 20
_COLUMNS = ("model", "commit", "variant", "champion", "reference", "previous", "candidate")


def status(model: str | None = None, *, json: bool = False) -> int:
    """Show each champion, the versions that the aliases name, and how the last release ended.

    Args:
        model: Name of an entry in catalogue.toml. Default: all entries.
        json: Print the result as JSON.
    """
    settings = Settings()
    entries = catalogue.load(settings.catalogue)
    shown = [catalogue.find(settings.catalogue, model)] if model else entries.values()
    found = [_state(entry, settings) for entry in shown]
    if json:
        console.show(found)
        return 0
    console.table("Released models", _COLUMNS, map(_row, found))
    for state in found:
        if last := state["last_release"]:
            at = last["at"][:16].replace("T", " ")
            how = f"{last['verdict']}: {last['reason']}"
            console.say(f"{state['model']}: the last release ({at} UTC) was {how}")
        if fault := state["fault"]:
            console.say(f"{state['model']}: {fault}")
    return 0


def _state(entry: Entry, settings: Settings) -> dict[str, Any]:
    name = entry.name
    state: dict[str, Any] = dict.fromkeys((*_COLUMNS, "last_release", "fault")) | {"model": name}
    if not settings.has_registry:
        return state
    from slipway.registry import open_registry

    registry = open_registry(settings)
    aliases, last = registry.aliases(name), registry.last_release(name)
    champion = aliases.get("champion")
    origin = ReleaseOrigin.from_tags(registry.tags(name, champion) if champion else {})
    return state | {
        "commit": origin.commit or None,
        "variant": origin.variant or None,
        "champion": champion,
        "reference": registry.champion(registered_name(name, "transformers")),
        "previous": aliases.get("previous"),
        "candidate": aliases.get("candidate"),
        "last_release": last.model_dump(mode="json") if last else None,
        "fault": _fault(entry, champion, registry),
    }


def _fault(entry: Entry, champion: int | None, registry: "Registry") -> str | None:
    """Return what is wrong with the aliases, and what is done about it; None if nothing is."""
    fault = registry.manual_fault(entry.name, needs_approval=entry.target == "approval")
    others = (each.in_words for each in registry.faulty_aliases(entry.name))
    if fault := fault or "; ".join(others):
        return f"{fault}; reconcile undoes that"
    if not (champion and registry.copies.public_key):
        return None
    if SIGNATURE not in registry.tags(entry.name, champion):
        again = f"release the model again with `slipway release {entry.name} --force`"
        return f"version {champion} is not signed, so nothing loads it; {again}"
    return None


def _row(state: dict[str, Any]) -> tuple[str, ...]:
    shown = state | {"commit": state["commit"] and short(state["commit"])}
    return tuple("-" if shown[column] is None else str(shown[column]) for column in _COLUMNS)


def history(model: str, *, last: Count | None = None, json: bool = False) -> int:
    """Show which version was champion when, who or what made it champion, and why.

    Args:
        model: Name of an entry in catalogue.toml.
        last: Show only so many of the newest. Default: all with --json, otherwise 20.
        json: Print the result as JSON.
    """
    settings = Settings()
    catalogue.find(settings.catalogue, model)
    count = last or (None if json else _PERIODS)
    periods: tuple[ChampionPeriod, ...] = ()
    if settings.has_registry:
        from slipway.registry import open_registry

        periods = open_registry(settings).history(model, count and count + 1)
    shown = periods[-count:] if count else periods
    if json:
        console.show([period.model_dump(mode="json") for period in shown])
        return 0
    headings = ("version", "since (UTC)", "until (UTC)", "how", "by", "reason")
    rows = [_period(period, lasts=period is periods[-1]) for period in shown]
    console.table(f"Champions of {model}", headings, rows)
    if len(periods) > len(shown):
        console.note(f"there are older ones: slipway history {model} --last {10 * len(shown)}")
    return 0


def _period(period: ChampionPeriod, *, lasts: bool) -> tuple[str, ...]:
    times = (period.since, period.until)
    since, until = (f"{at:%Y-%m-%d %H:%M:%S}" if at else "not recorded" for at in times)
    until = "-" if lasts else until
    version = "none" if period.version is None else str(period.version)
    how = "changed by hand" if period.kind == "by-hand" else period.kind
    version = ", ".join((version, *period.elsewhere))
    return version, since, until, how, period.audit.actor, period.audit.reason


def doctor(*, json: bool = False) -> int:
    """Check this machine and the services on it; the exit code is 1 if a check fails.

    Args:
        json: Print the result as JSON.
    """
    settings = Settings()
    console.prepare_prefect(settings, quiet=True)
    from deployments.doctor import examine

    checks = examine(settings.in_use)
    if json:
        console.show([check.model_dump(mode="json") for check in checks])
    else:
        rows = [(check.status, check.name, check.result) for check in checks]
        console.table("Checks of this machine", ("status", "check", "result"), rows)
    return 1 if any(check.status == "fail" for check in checks) else 0
