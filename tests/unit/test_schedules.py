"""A schedule of the catalogue is one that Prefect takes and that comes at least once."""

import pytest
from prefect.client.schemas.schedules import CronSchedule
from pydantic import TypeAdapter, ValidationError

from slipway.values.schedules import CronExpression

SCHEDULE = TypeAdapter(CronExpression)
COMING = ("0 6 * * 1", "*/15 * * * *", "0 0 29 2 *", "0 0 * jan sun", "0 0 L * *", "0 0 * * mon#2")
REFUSED = ("0 25 * * *", "60 * * * *", "* * * *", "R * * * *", "h * * * *", "*/0 * * * *", "")
#: Prefect takes these: two never come, and the last has no field that says when.
NEVER = ("0 0 30 2 *", "0 0 31 4 *", "@daily")


def accepted(text: str) -> bool:
    """Return whether the catalogue takes a schedule."""
    try:
        return SCHEDULE.validate_python(text) == text
    except ValidationError:
        return False


def prefect_takes(text: str) -> bool:
    """Return whether Prefect takes it."""
    try:
        return CronSchedule(cron=text, timezone="UTC").cron == text
    except ValidationError:
        return False


@pytest.mark.parametrize("text", [*COMING, *REFUSED])
def test_a_schedule_is_accepted_where_prefect_accepts_it(text: str) -> None:
    """Else `slipway up` stops at it."""
    assert accepted(text) is prefect_takes(text) is (text in COMING)


@pytest.mark.parametrize("text", NEVER)
def test_a_schedule_that_never_comes_is_refused(text: str) -> None:
    """Prefect's scheduler would look for its next moment in vain."""
    assert not accepted(text)
