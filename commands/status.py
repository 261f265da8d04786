"""``slipway status``, ``history``, ``predict`` and ``doctor``: they change nothing."""

import os
from typing import Any

from commands import console
from slipway import catalogue
from slipway.errors import NoChampion
from slipway.settings import Settings
from slipway.tracking.tag_values import ReleaseOrigin
from slipway.values import ChampionPeriod

_COLUMNS = ("model", "commit", "variant", "champion", "reference", "previous", "candidate")


def status(model: str | None = None, *, json: bool = False) -> int:
    """Show commit and variant of each champion, and the versions that the aliases name.

    Args:
        model: Name of an entry in catalogue.toml. Default: all entries.
        json: Print the result as JSON.
    """
    settings = Settings()
    entries = catalogue.load(settings.catalogue)
    names = [catalogue.find(settings.catalogue, model).name] if model else list(entries)
    found = [_state(name, settings) for name in names]
    if json:
        console.show(found)
        return 0
    cells = ((state[column] for column in _COLUMNS) for state in found)
    rows = [["-" if cell is None else str(cell) for cell in row] for row in cells]
    console.table("Released models", _COLUMNS, rows)
    return 0


def _state(name: str, settings: Settings) -> dict[str, Any]:
    state: dict[str, Any] = dict.fromkeys(_COLUMNS) | {"model": name}
    if not settings.has_registry:
        return state
    from slipway.registry import open_registry, registered_name

    registry = open_registry(settings)
    aliases = registry.aliases(name)
    champion = aliases.get("champion")
    origin = ReleaseOrigin.from_tags(registry.tags(name, champion) if champion else {})
    return state | {
        "commit": origin.commit or None,
        "variant": origin.variant or None,
        "champion": champion,
        "reference": registry.champion(registered_name(name, "transformers")),
        "previous": aliases.get("previous"),
        "candidate": aliases.get("candidate"),
    }


def history(model: str, *, json: bool = False) -> int:
    """Show which version was champion when, who or what made it champion, and why.

    Args:
        model: Name of an entry in catalogue.toml.
        json: Print the result as JSON.
    """
    settings = Settings()
    catalogue.find(settings.catalogue, model)
    periods: tuple[ChampionPeriod, ...] = ()
    if settings.has_registry:
        from slipway.registry import open_registry

        periods = open_registry(settings).history(model)
    if json:
        console.show([period.model_dump(mode="json") for period in periods])
        return 0
    headings = ("version", "since (UTC)", "until (UTC)", "how", "by", "reason")
    console.table(f"Champions of {model}", headings, map(_period, periods))
    return 0


def _period(period: ChampionPeriod) -> tuple[str, ...]:
    since, until = (f"{at:%Y-%m-%d %H:%M:%S}" if at else "-" for at in (period.since, period.until))
    version = "none" if period.version is None else str(period.version)
    how = "changed by hand" if period.kind == "by-hand" else period.kind
    return version, since, until, how, period.audit.actor, period.audit.reason


def predict(model: str, text: str, *, json: bool = False) -> int:
    """Send one prompt to the champion and print its answer.

    Args:
        model: Name of a released model.
        text: The prompt.
        json: Print the result as JSON.
    """
    settings = Settings()
    entry = catalogue.find(settings.catalogue, model)
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
    from slipway.registry import open_registry

    registry = open_registry(settings)
    if registry.champion(model) is None:
        raise NoChampion(model)
    champion = registry.load_champion(model)
    if entry.wrappers.onnx == "prompt":
        answer = champion.predict({"prompt": text})[0]
        response: Any = {"text": answer}
    else:
        response = champion.predict({"messages": [{"role": "user", "content": text}]})[0]
        answer = response["choices"][0]["message"]["content"]
    console.show(response) if json else print(answer)
    return 0


def doctor(*, json: bool = False) -> int:
    """Check this machine and the services on it; the exit code is 1 if a check fails.

    Args:
        json: Print the result as JSON.
    """
    settings = Settings()
    console.prepare_prefect(settings, quiet=True)
    from deployments.doctor import examine

    checks = examine(settings)
    if json:
        console.show([check.model_dump(mode="json") for check in checks])
    else:
        rows = [(check.status, check.name, check.result) for check in checks]
        console.table("Checks of this machine", ("status", "check", "result"), rows)
    return 1 if any(check.status == "fail" for check in checks) else 0
