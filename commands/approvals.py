"""``slipway history``, ``rollback`` and ``approve``: what people want to know, and decide."""

from commands import console
from commands.release import exit_code, prepare
from slipway import catalogue
from slipway.settings import Settings
from slipway.values import ChampionPeriod


def history(model: str, *, json: bool = False) -> int:
    """Show which version was champion from when to when, by whom, and why.

    Args:
        model: Name of an entry in catalogue.toml.
        json: Print it as JSON.
    """
    settings = Settings()
    catalogue.find(settings.catalogue, model)
    periods: tuple[ChampionPeriod, ...] = ()
    if settings.has_registry:
        from tasks.context import registry

        periods = registry().history(model)
    if json:
        console.show([period.model_dump(mode="json") for period in periods])
        return 0
    headings = ("champion", "since (UTC)", "until", "how", "by", "why")
    console.table(f"Champions of {model}", headings, [_row(period) for period in periods])
    return 0


def _row(period: ChampionPeriod) -> tuple[str, ...]:
    since, until = (f"{at:%Y-%m-%d %H:%M:%S}" if at else "-" for at in (period.since, period.until))
    version = "none" if period.version is None else str(period.version)
    how = "moved by hand" if period.kind == "by-hand" else period.kind
    return version, since, until, how, period.audit.actor, period.audit.reason


def rollback(
    model: str,
    *,
    reason: str,
    failed: int | None = None,
    to: int | None = None,
    json: bool = False,
) -> int:
    """Let the champion of before serve again, and quarantine the one that failed.

    Args:
        model: Name of an entry in catalogue.toml.
        reason: What went wrong, for the record.
        failed: Version that failed; the champion of this moment if it is not named. If another
            version is champion, nothing is moved.
        to: Version to go back to; the alias `previous` if it is not named.
        json: Print the result as JSON, and nothing else.
    """
    prepare(Settings(), model, quiet=json)
    from flows.roll_back import roll_back
    from tasks.context import registry

    console.shorten_errors()
    failed = failed or registry().champion(model)
    if failed and not json:
        print(f"{model}: version {failed} is to be taken out", flush=True)
    change = roll_back(model, reason=reason, failed=failed, to=to)
    if json:
        console.show(change.model_dump(mode="json"))
        return 0
    pairs = {
        "champion": f"models:/{model}/{change.after}",
        "quarantined": f"models:/{model}/{change.before}: {reason}",
        "by": change.audit.actor,
        "lift it": f"slipway release {model} --lift-quarantine --reason TEXT",
    }
    console.facts(f"{model}: rolled back from version {change.before} to {change.after}", pairs)
    return 0


def approve(model: str, *, reason: str, reject: bool = False, json: bool = False) -> int:
    """Approve the candidate that waits, or reject it.

    Args:
        model: Name of an entry in catalogue.toml.
        reason: Why, for the record.
        reject: Reject it: it is quarantined, and the champion stays.
        json: Print the result as JSON, and nothing else.
    """
    prepare(Settings(), model, quiet=json)
    from flows.approve_model import approve_model

    console.shorten_errors()
    release = approve_model(model, decision="reject" if reject else "approve", reason=reason)
    if json:
        console.show(release.model_dump(mode="json"))
    else:
        word = "rejected" if release.promotion is None else "approved"
        address = f"models:/{model}/{release.versions.onnx.version}"
        console.facts(f"{model}: {word}", {"version": address, "reason": reason})
    return exit_code(release) if not reject else 0
