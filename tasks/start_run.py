"""Flow runs are started, which outlive whoever started them, and named."""

from collections.abc import Iterable, Mapping
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentFlowRunCreate
from prefect.client.schemas.objects import FlowRun
from prefect.runtime import flow_run


def start_run(
    deployment: str, parameters: Mapping[str, Any], idempotency_key: str, tags: Iterable[str] = ()
) -> FlowRun:
    """Return the run of ``deployment`` with this key, started unless it was before.

    The deployment's schema names the models that the catalogue had when it was deployed, and the
    UI's forms enforce it. Here it is not enforced, so that a model that was added since can be
    released: the flow validates its parameters itself. Prefect's client does not offer that, its
    API does.

    Args:
        deployment: As ``flow/deployment``.
        parameters: Of the flow.
        idempotency_key: A second call with the same key returns the same run.
        tags: Of the run, beside the deployment's.

    Raises:
        ObjectNotFound: If there is no such deployment.
    """
    wanted = DeploymentFlowRunCreate(
        parameters=dict(parameters),
        idempotency_key=idempotency_key,
        tags=list(tags),
        enforce_parameter_schema=False,
    )
    with get_client(sync_client=True) as client:
        response = client.request(
            "POST",
            "/deployments/{id}/create_flow_run",
            path_params={"id": client.read_deployment_by_name(deployment).id},
            json=wanted.model_dump(mode="json", exclude_unset=True),
        )
    return FlowRun.model_validate(response.json())


def rename_run(name: str) -> None:
    """Rename the current flow run, for people who look for it in the UI."""
    with get_client(sync_client=True) as client:
        client.update_flow_run(flow_run.id, name=name)
