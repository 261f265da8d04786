"""Sources are polled, and what is new is released."""

from typing import Any

from prefect import State, flow

from slipway.values import WatchResult
from tasks.dispatch import dispatch
from tasks.watch import decide_each, poll, record


@flow(name="watch-sources", flow_run_name="watch the sources", validate_parameters=True)
def watch_sources(models: list[str] | None = None) -> tuple[WatchResult, ...]:
    """Start a release of every model whose source has files that were not released yet.

    Running it again is safe, also at the same time: the same files are released once.

    Args:
        models: Names of entries in catalogue.toml; all of them if none are named.
    """
    states = poll(models)
    results = decide_each(states)
    record(states, results)

    started: list[State[Any]] = [
        dispatch(result.model, result.key, result.attempt, result.reason, return_state=True)
        for result in results
        if result.key and result.attempt
    ]
    for state in started:  # what failed for one model fails the run, once the others are started
        state.result()
    return results
