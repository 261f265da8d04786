"""What an environment requires of a champion before it is promoted there. Pure."""

from datetime import datetime, timedelta

from slipway.values import ChampionPeriod, Environment


def unmet(required: Environment, period: ChampionPeriod, now: datetime) -> str | None:
    """Return the requirement that a champion does not meet yet; None if it meets all.

    Args:
        required: Where it is to be promoted to.
        period: Since when it is champion, in the history of the registry that it comes from.
        now: The time.
    """
    if not required.served_hours:
        return None
    if period.since is None:
        return "nothing recorded since when it is champion"
    hours = (now - period.since) / timedelta(hours=1)
    if hours < required.served_hours:
        wanted = f"{required.served_hours:g} are required"
        return f"it has been champion for {hours:.1f} hours, and {wanted}"
    return None
