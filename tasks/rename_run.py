"""Names for runs, once it is known what they are about."""

from prefect.client.orchestration import get_client
from prefect.runtime import flow_run


def rename_run(name: str) -> None:
    """Rename the current flow run, for people who look for it in the UI."""
    with get_client(sync_client=True) as client:
        client.update_flow_run(flow_run.id, name=name)
