"""A deployment's name → a flow run of it, which outlives whoever started it."""

from collections.abc import Iterable, Mapping
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentFlowRunCreate
from prefect.client.schemas.objects import FlowRun


def start_run(
    deployment: str, parameters: Mapping[str, Any], idempotency_key: str, tags: Iterable[str] = ()
) -> FlowRun:
    """Return the run of ``deployment`` with this key, started unless it was before.

    The UI's forms are held to the deployment's schema, which names the models that the catalogue
    had when it was deployed. A model that was added since is started all the same: the flow checks
    what it is asked for. Prefect's client has no word for that, its API has.

    Args:
        deployment: As ``flow/deployment``.
        parameters: Of the flow.
        idempotency_key: The same one a second time is the same run.
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
