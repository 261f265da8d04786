"""A run of a deployment can be started for later, and once for each key."""

from datetime import UTC, datetime, timedelta

from flows.watch_switch import watch_switch
from tasks.start_run import start_run
from tasks.watch_switch import DEPLOYMENT


def test_the_next_look_is_scheduled_once(prefect_backend: None) -> None:
    """It waits in Prefect's database, whatever becomes of the worker until then."""
    watch_switch.to_deployment("watch-switch").apply()
    at = datetime.now(UTC) + timedelta(minutes=1)

    run, again = (start_run(DEPLOYMENT, {"model": "new"}, "watch:1", at=at) for _ in range(2))

    assert run.id == again.id
    assert run.state is not None
    assert run.state.is_scheduled()
    assert run.state.state_details.scheduled_time == at
    assert run.parameters == {"model": "new"}
