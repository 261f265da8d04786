"""``slipway clean``: delete what nothing needs any more, by the rules of catalogue and settings."""

from datetime import UTC, datetime

from commands import console
from slipway import catalogue
from slipway.clean import clean_up
from slipway.clean.decision import leaving
from slipway.clean.listing import row, rows
from slipway.errors import SlipwayError
from slipway.settings import Settings
from slipway.values import CleanDecision, Entry


def clean(*, dry_run: bool = False, json: bool = False) -> int:
    """Delete versions by the `retention` of their model, and caches, logs and results by age.

    What is champion, previous, candidate, pinned, waiting for approval or in use on this machine
    stays.

    Args:
        dry_run: List what would be deleted, and how many bytes each has; delete nothing.
        json: Print the result as JSON.
    """
    settings, at, exit_code = Settings(), datetime.now(UTC), 0
    entries = catalogue.load(settings.catalogue).values()
    gone: list[CleanDecision] = []
    for entry in entries:
        try:
            gone += _of_model(entry, settings, at, dry_run=dry_run)
        except SlipwayError as error:  # which holds up no other model
            console.show_error(error, json=False)
            exit_code = error.exit_code
    gone += _of_home(settings, at, dry_run=dry_run)  # last: copies tell when a version was loaded
    freed = sum(each.freed_bytes for each in gone)
    if json:
        every = [row(each).model_dump(mode="json") for each in gone]
        console.show({"dry_run": dry_run, "freed_bytes": freed, "gone": every})
        return exit_code
    if not gone:
        console.say("nothing can go: all of it is needed, or was used lately")
        return exit_code
    title = "Would be deleted" if dry_run else "Deleted"
    cells = [(each.kind, each.name, f"{each.freed_bytes:,}", each.reason) for each in rows(gone)]
    console.table(title, ("kind", "name", "bytes", "why"), cells)
    console.say(f"\n{freed:,} bytes {'would be' if dry_run else 'are'} freed")
    return exit_code


def _of_home(settings: Settings, at: datetime, *, dry_run: bool) -> tuple[CleanDecision, ...]:
    plan = clean_up.plan_home(settings, at)
    return leaving(plan) if dry_run else clean_up.free_home(plan, at)


def _of_model(
    entry: Entry, settings: Settings, at: datetime, *, dry_run: bool
) -> tuple[CleanDecision, ...]:
    plan = clean_up.plan_model(entry, settings, at)
    if dry_run:
        return leaving(plan)
    from tasks.clean import REASON
    from tasks.context import audit_info

    return clean_up.free_model(entry, plan, settings, audit_info(REASON))
