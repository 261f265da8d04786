"""The final state of a flow run says how it ended; whoever called the flow gets its result."""

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from slipway.values import Rejected, Release
from tasks.outcome import ended
from tests.tasks.test_outcome import release


def test_a_rejected_release_is_named_so_and_can_be_filtered(prefect_backend: None) -> None:
    """The type stays COMPLETED: nothing has failed, and no retry would help."""
    runs: list[str] = []

    @flow
    def releases() -> Release:
        runs.append(flow_run.id)
        return ended(release(verdict=Rejected(reasons=("too slow",))))

    found = releases()

    with get_client(sync_client=True) as client:
        run = client.read_flow_run(runs[0])  # type: ignore[arg-type]
    assert isinstance(found, Release)
    assert found.verdict.kind == "rejected"
    assert run.state is not None
    assert (run.state.type.value, run.state.name) == ("COMPLETED", "Rejected")
    assert run.state.message == "too slow"
    assert run.tags == ["rejected"]
